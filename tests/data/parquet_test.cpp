// Columns of text in Parquet files made by pyarrow, and what is left of them when they are damaged.
#include "data/parquet.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/snappy.h"
#include "data/parquet_column.h"

namespace trireme {
namespace {

using Strings = std::vector<std::string>;

std::string golden(const std::string& name) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/golden/parquet/" + name;
}

const Json& rows() {
  static const Json json = read_json(golden("rows.json"));
  return json;
}

Strings strings(const Json& list) {
  Strings out;
  for (const Json& item : list.items()) out.push_back(item.as_string());
  return out;
}

Strings read_all(std::string_view bytes, const std::string& column) {
  const auto reader = read_parquet(memory_stream(bytes, "x.parquet"), column);
  Strings out;
  for (std::string text; reader->next(text); text.clear()) out.push_back(text);
  return out;
}

TEST(Parquet, EveryRowOfEveryKindOfColumn) {
  const Strings text = strings(rows().at("text")), sparse = strings(rows().at("sparse"));
  Strings both;
  for (size_t i = 0; i < text.size(); ++i) both.push_back(sparse[i] + text[i]);
  for (const std::string& name : strings(rows().at("files"))) {
    const std::string bytes = read_file(golden(name));
    EXPECT_EQ(read_all(bytes, "text"), text) << name;
    EXPECT_EQ(read_all(bytes, "sparse"), sparse) << name;
    EXPECT_EQ(read_all(bytes, "sparse+text"), both) << name;
  }
}

TEST(Parquet, AReaderGoesOnWhereAnotherOneWas) {
  const Strings text = strings(rows().at("text"));
  const std::string bytes = read_file(golden("snappy-words-v1.parquet"));
  for (uint64_t from = 1; from <= text.size(); ++from) {
    const auto reader = read_parquet(memory_stream(bytes, "x.parquet"), "text");
    reader->go_on(from);
    EXPECT_EQ(reader->position(), from);
    std::string next;
    EXPECT_EQ(reader->next(next), from < text.size());
    if (from < text.size()) {
      EXPECT_EQ(next, text[from]);
    }
  }
}

TEST(Parquet, ColumnsThatAreNoFlatTextAreNamed) {
  const std::string bytes = read_file(golden("none-plain-v1.parquet"));
  for (const char* column : {"id", "tags", "more", "none", "text+none", "element"}) {
    try {
      read_all(bytes, column);
      ADD_FAILURE() << column;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("columns of text are 'text', 'sparse'"), std::string::npos)
          << error.what();
    }
  }
  EXPECT_THROW(read_all(read_file(golden("gzip.parquet")), "text"), ConfigError);
}

TEST(Parquet, EveryTruncationIsRefused) {
  const std::string bytes = read_file(golden("zstd-words-v2.parquet"));
  for (size_t size = 0; size < bytes.size(); size += 7)
    EXPECT_THROW(read_all(std::string_view(bytes).substr(0, size), "text"), IoError) << size;
}

TEST(Parquet, ChangedBytesAreRefusedOrHarmless) {
  for (const std::string& name : strings(rows().at("files"))) {
    const std::string bytes = read_file(golden(name));
    for (size_t i = 0; i < bytes.size(); i += 5) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ (i % 2 == 0 ? 0xFF : 0x04));
      try {
        EXPECT_LE(read_all(changed, "sparse").size(), 100000U);
      } catch (const IoError& error) {
        EXPECT_NE(std::string(error.what()).find("x.parquet: byte "), std::string::npos) << error.what();
      } catch (const ConfigError&) {  // another codec, encoding or name
      }
    }
  }
}

TEST(ParquetRuns, MixesRunsAndPackedNumbers) {
  // 5 times 3 (run), then 0 to 7 packed in 3 bits each: the example of the format's description.
  const unsigned char bytes[] = {10, 3, 3, 0x88, 0xC6, 0xFA};
  ParquetRuns runs(std::as_bytes(std::span(bytes)), 3);
  std::vector<uint32_t> found;
  for (uint32_t value = 0; runs.next(value);) found.push_back(value);
  EXPECT_EQ(found, (std::vector<uint32_t>{3, 3, 3, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Snappy, LiteralsCopiesAndRuns) {
  const auto unpack = [](const std::string& packed, size_t size) -> std::string {
    std::string out(size, '?');
    return unsnappy_block(std::as_writable_bytes(std::span(out)), std::as_bytes(std::span(packed))) ? out : "bad";
  };
  EXPECT_EQ(unpack(std::string("\x03\x08"
                               "abc"),
                   3),
            "abc");
  EXPECT_EQ(unpack(std::string("\x0B\x08"
                               "abc\x11\x03",
                               7),
                   11),
            "abcabcabcab");  // 8 bytes from 3 back
  EXPECT_EQ(unpack(std::string("\x0A\x08"
                               "abc\x0D\x03",
                               7),
                   10),
            "abcabcabca");  // 7 bytes from 3 back
  EXPECT_EQ(unpack(std::string("\x09\x00"
                               "a\x1E\x01\x00",
                               6),
                   9),
            "aaaaaaaaa");  // two-byte offset
  EXPECT_EQ(unpack(std::string("\x09\x00"
                               "a\x1F\x01\x00\x00\x00",
                               8),
                   9),
            "aaaaaaaaa");  // four-byte offset
  EXPECT_EQ(unpack(std::string("\x02\xF0\x01"
                               "ab",
                               5),
                   2),
            "ab");  // length behind the tag
  for (const std::string& bad : {std::string(""),
                                 std::string("\x03\x08"
                                             "ab"),
                                 std::string("\x02\x00"
                                             "a\x0D\x09",
                                             5),
                                 std::string("\x02\x00"
                                             "a\x01\x00",
                                             5),
                                 std::string("\x80\x80\x80\x80\x80\x80"),
                                 std::string("\x02\xFC\xFF\xFF\xFF\xFF"
                                             "a")})
    EXPECT_EQ(unpack(bad, 2), "bad");
}

}  // namespace
}  // namespace trireme
