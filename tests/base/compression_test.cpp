// Packed streams against files that gzip and zstd themselves have made (bytes below), and a ZIP archive of Python.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/unpacking_stream.h"
#include "base/zip.h"

namespace trireme {
namespace {

std::string golden(const std::string& name) { return std::string(TRIREME_SOURCE_DIR) + "/tests/golden/data/" + name; }

/// The text that tests/golden/data/make_packed.sh has packed.
std::string expected() {
  std::string text;
  for (int i = 1; i <= 12000; ++i) text += std::to_string(i) + "\n";
  return text;
}

std::unique_ptr<ByteStream> unpack(std::string_view bytes, bool gzip) {
  auto stream = memory_stream(bytes, gzip ? "x.gz" : "x.zst");
  return gzip ? unpack_gzip(std::move(stream)) : unpack_zstd(std::move(stream));
}

std::string read_all(ByteStream& stream, size_t piece) {
  std::string out, buffer(piece, '\0');
  for (size_t got; (got = stream.read(std::as_writable_bytes(std::span(buffer)))) > 0;) out.append(buffer, 0, got);
  return out;
}

TEST(Unpacking, GivesTheTextInPiecesOfAnySize) {
  const std::string text = expected();
  for (const bool gzip : {true, false}) {
    const std::string bytes = read_file(golden(gzip ? "numbers.gz" : "numbers.zst"));
    for (const size_t piece : {size_t{1} << 20, size_t{4096}, size_t{61}})
      EXPECT_TRUE(read_all(*unpack(bytes, gzip), piece) == text) << gzip << " " << piece;
    std::string packed, repeated;  // several members, or frames, and more bytes than are read at once
    for (int i = 0; i < 6; ++i) packed += bytes, repeated += text;
    EXPECT_TRUE(read_all(*unpack(packed, gzip), 1000) == repeated) << gzip;
  }
}

TEST(Unpacking, SeeksForwardsAndBack) {
  const std::string text = expected();
  for (const bool gzip : {true, false}) {
    const std::string bytes = read_file(golden(gzip ? "numbers.gz" : "numbers.zst"));
    const auto stream = unpack(bytes, gzip);
    std::string piece(50, '\0');
    for (const size_t at : {size_t{40000}, size_t{7}, size_t{40050}, text.size() - 50}) {
      stream->seek(at);
      EXPECT_EQ(stream->read(std::as_writable_bytes(std::span(piece))), 50U);
      EXPECT_EQ(piece, text.substr(at, 50));
    }
    EXPECT_EQ(stream->file_position(0), bytes.size());
  }
}

TEST(Unpacking, EveryTruncationAndChangeIsNoticed) {
  const std::string text = expected();
  for (const bool gzip : {true, false}) {
    const std::string bytes = read_file(golden(gzip ? "numbers.gz" : "numbers.zst"));
    for (size_t size = 0; size < bytes.size(); size += size < 20 || size + 20 > bytes.size() ? 1 : 997) {
      if (size == 0 && !gzip) continue;  // no frame at all is an empty text
      EXPECT_THROW(read_all(*unpack(std::string_view(bytes).substr(0, size), gzip), 1 << 16), IoError) << size;
    }
    for (size_t i = 0; i < bytes.size(); i += 499) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ 0x20);
      try {
        EXPECT_TRUE(read_all(*unpack(changed, gzip), 1 << 16) == text || i < 10) << gzip << " " << i;
      } catch (const IoError& error) {
        EXPECT_NE(std::string(error.what()).find(gzip ? "x.gz: byte " : "x.zst: byte "), std::string::npos);
      }
    }
  }
}

TEST(Zip, MembersOfNumpysArchive) {
  const std::string bytes = read_file(golden("packed_idx.npz"));
  const auto members = read_zip(std::as_bytes(std::span(bytes)), "x.npz");
  ASSERT_EQ(members.size(), 2U);
  EXPECT_EQ(members[0].name, "lens.npy");
  EXPECT_TRUE(members[0].deflated);
  std::vector<std::byte> memory;
  EXPECT_EQ(members[0].bytes(memory, "x.npz").size(), members[0].size);
  EXPECT_THROW(read_zip(std::as_bytes(std::span("no archive at all, but long enough")), "x.npz"), IoError);
}

}  // namespace
}  // namespace trireme
