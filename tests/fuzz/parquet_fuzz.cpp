// Any bytes as a Parquet file: they are refused with an error, or read to the end of the rows that are there, and on
// from the first.
#include <cstdint>

#include "data/parquet.h"
#include "fuzz/documents.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const char* column : {"text", "sparse"}) {
    try {
      check_reader([&] { return read_parquet(memory_stream(bytes, "fuzz.parquet"), column); });
    } catch (const IoError&) {
    } catch (const ConfigError&) {}
  }
  return 0;
}
