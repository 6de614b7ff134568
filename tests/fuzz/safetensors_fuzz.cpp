// Any bytes as a safetensors file: they are refused with an IoError or give tensors that cover the data exactly, each
// as large as its type and shape say.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    const SafetensorsHeader header = parse_safetensors(file, "fuzz");
    uint64_t end = header.entries.empty() ? size : header.entries[0].begin;
    for (const SafetensorsEntry& e : header.entries) {
      uint64_t bytes = e.dtype ? static_cast<uint64_t>(dtype_size(*e.dtype)) : 0;
      for (const int64_t n : e.shape) bytes *= static_cast<uint64_t>(n);
      if (e.begin != end || e.end < e.begin || (e.dtype && e.end - e.begin != bytes)) std::abort();
      end = e.end;
    }
    if (end != size) std::abort();
  } catch (const IoError&) {}
  return 0;
}
