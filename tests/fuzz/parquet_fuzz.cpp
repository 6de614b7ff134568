// Any bytes as a Parquet file: they are refused with an error, or read to the end of the rows that are there.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "data/parquet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const char* column : {"text", "sparse"}) {
    try {
      const auto reader = read_parquet(memory_stream(bytes, "fuzz.parquet"), column);
      std::string text;
      for (int rows = 0; rows < 10000 && reader->next(text); ++rows) text.clear();
    } catch (const IoError&) {
    } catch (const ConfigError&) {}
  }
  return 0;
}
