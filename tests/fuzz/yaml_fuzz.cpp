// Any bytes as YAML: refused with a ConfigError, or printed to a text that reads back and prints the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  std::string printed;
  try {
    printed = dump_yaml(parse_yaml({reinterpret_cast<const char*>(data), size}, "fuzz"));
  } catch (const ConfigError&) {
    return 0;
  }
  if (dump_yaml(parse_yaml(printed, "printed")) != printed) std::abort();
  return 0;
}
