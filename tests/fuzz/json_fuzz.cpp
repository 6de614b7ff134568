// Any bytes as JSON: refused with an IoError, or printed to a text that reads back and prints the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using trireme::Json;
  std::string printed;
  try {
    printed = Json::parse({reinterpret_cast<const char*>(data), size}, "fuzz").dump();
  } catch (const trireme::IoError&) {
    return 0;
  }
  if (Json::parse(printed, "printed").dump() != printed) std::abort();
  if (Json::parse(Json::parse(printed, "printed").dump(2), "indented").dump() != printed) std::abort();
  return 0;
}
