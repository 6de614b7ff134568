// trireme docs keys: the reference of recipe keys, made from their table.
#include "app/commands.h"
#include "app/run_config.h"
#include "app/standard_io.h"

namespace trireme {

int cmd_docs_keys(CommandLine& line) {
  line.example("trireme docs keys");
  if (!line.parse()) return kDone;
  print(describe_keys());
  return kDone;
}

}  // namespace trireme
