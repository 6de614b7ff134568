// Any bytes as a packed text (.gz, .zst), as a ZIP archive, as a Snappy block, as a pickled list of lengths and as
// CPM's blocks: refused with an error, or read to the end.
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/snappy.h"
#include "base/unpacking_stream.h"
#include "base/zip.h"
#include "data/pickle.h"
#include "data/record_sets.h"
#include "fuzz/documents.h"
#include "fuzz/input.h"

namespace {

using namespace trireme;

constexpr size_t kMost = size_t{1} << 22;  // bytes that are unpacked of one input

void drain(std::unique_ptr<ByteStream> stream) {
  std::vector<std::byte> piece(1 << 16);
  size_t got = 0, sum = 0;
  while (sum < kMost && (got = stream->read(piece)) > 0) sum += got;
  stream->seek(10);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  attempt([&] { drain(unpack_gzip(memory_stream(text, "fuzz.gz"))); });
  attempt([&] { drain(unpack_zstd(memory_stream(text, "fuzz.zst"))); });
  attempt([&] {
    for (const ZipMember& member : read_zip(bytes, "fuzz.zip")) {
      std::vector<std::byte> memory;
      if (member.size < kMost) member.bytes(memory, "fuzz.zip");
    }
  });
  if (size > 2) {  // how long it is said to be, and the block
    std::vector<std::byte> block(8 * data[0] + data[1]);
    unsnappy_block(block, bytes.subspan(2));
  }
  attempt([&] {
    PickledIntegers list(memory_stream(text, "fuzz.pkl"));
    while (list.next()) {}
  });
  attempt([&] {
    check_reader([&] { return read_lazy(memory_stream(text, "data"), size, memory_stream(text, "data.len.pkl")); });
  });
  attempt([&] { check_reader([&] { return read_blocks(memory_stream(text, "data"), 64, "text"); }); });
  return 0;
}
