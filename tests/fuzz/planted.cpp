// A mistake on purpose, which tools/fuzz must find before it believes that the other targets have none.
#include <cstdint>
#include <cstring>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> copy(data, data + size);
  if (size >= 3 && std::memcmp(copy.data(), "BUG", 3) == 0) return copy.data()[size] == 'x' ? 1 : 0;
  return 0;
}
