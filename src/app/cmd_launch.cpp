// trireme launch: the ranks of one machine.
#include <algorithm>
#include <cstdio>
#include <iterator>

#include "app/commands.h"
#include "base/error.h"
#include "launch/launcher.h"

namespace trireme {

constexpr int64_t kMostProcesses = 1024;
constexpr const char* kOfSeveral[] = {"train", "generate", "eval"};

int cmd_launch(CommandLine& line) {
  int64_t processes = 1, port = 0;
  std::vector<std::string> words;
  line.option("--nproc-per-node", processes, "processes to start on this machine", CommandLine::Need::required);
  line.option("--master-port", port, "port on which they meet; 0: a free one");
  line.positional("COMMAND", words, "what each of them runs, as after `trireme`; put -- before it");
  line.example("trireme launch --nproc-per-node 2 -- train recipes/poetry-tiny.yaml");
  if (!line.parse()) return kDone;
  if (processes < 1 || processes > kMostProcesses)
    throw ConfigError(cat("--nproc-per-node is ", processes, ", expected 1 to ", kMostProcesses));
  if (port < 0 || port > 65535) throw ConfigError(cat("--master-port is ", port, ", expected 0 to 65535"));
  if (std::find(std::begin(kOfSeveral), std::end(kOfSeveral), words[0]) == std::end(kOfSeveral))
    throw ConfigError(cat("`trireme ", words[0], "` runs as one process; train, generate and eval run as several"));
  const LaunchResult result =
      launch({.num_processes = static_cast<int>(processes), .master_port = static_cast<int>(port), .words = words});
  if (!result.failure.empty()) std::fprintf(stderr, "trireme launch: %s\n", result.failure.c_str());
  return result.code;
}

}  // namespace trireme
