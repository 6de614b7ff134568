#include "data/indexed.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "support/file_systems.h"
#include "support/temp_dir.h"
#include "support/token_files.h"

namespace trireme {
namespace {

using testing::TempDir;
using testing::write_token_files;

std::string from_hex(std::string_view text) {
  std::string out, digits;
  for (const char c : text) {
    if (c != ' ') digits.push_back(c);
    if (digits.size() < 2) continue;
    out.push_back(static_cast<char>(std::stoi(digits, nullptr, 16)));
    digits.clear();
  }
  return out;
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

template <class T>
std::string with(std::string text, size_t offset, T value) {
  std::memcpy(text.data() + offset, &value, sizeof value);
  return text;
}

std::string message_of(const std::string& bin, const std::string& idx, int64_t vocab_size = 100) {
  try {
    const IndexedDataset data("x", read_megatron("x", bytes_of(bin), bytes_of(idx)), vocab_size);
    std::vector<int32_t> ids(static_cast<size_t>(data.num_tokens()));
    for (int64_t d = 0; d < data.num_documents(); ++d)
      data.read_document(std::span(ids).first(static_cast<size_t>(data.document_length(d))), d, 0);
  } catch (const IoError& error) {
    return error.what();
  }
  return "";
}

// Two documents: {1, 2} in the sequences {1} and {2}, then {3, 4, 5}; written by hand from the format's description.
const std::string kIdx = from_hex(
    "4D 4D 49 44 49 44 58 00 00  01 00 00 00 00 00 00 00  08"
    "03 00 00 00 00 00 00 00  03 00 00 00 00 00 00 00"
    "01 00 00 00  01 00 00 00  03 00 00 00"
    "00 00 00 00 00 00 00 00  02 00 00 00 00 00 00 00  04 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00  02 00 00 00 00 00 00 00  03 00 00 00 00 00 00 00");
const std::string kBin = from_hex("01 00 02 00 03 00 04 00 05 00");

TEST(Indexed, WriterGivesTheBytesOfTheFormat) {
  const TempDir dir;
  IndexedWriter writer(dir.path("t"), TokenType::u16);
  writer.add_sequence(std::vector<int32_t>{1});
  writer.add_sequence(std::vector<int32_t>{2});
  writer.end_document();
  writer.add_sequence(std::vector<int32_t>{3, 4, 5});
  writer.end_document();
  writer.commit("");
  EXPECT_EQ(read_file(dir.path("t.idx")), kIdx);
  EXPECT_EQ(read_file(dir.path("t.bin")), kBin);
}

TEST(Indexed, ReaderGivesSequencesAndDocuments) {
  const IndexedDataset data("x", read_megatron("x", bytes_of(kBin), bytes_of(kIdx)), 100);
  EXPECT_EQ(data.num_sequences(), 3);
  EXPECT_EQ(data.num_documents(), 2);
  EXPECT_EQ(data.num_tokens(), 5);
  EXPECT_EQ(data.document_length(0), 2);
  std::vector<int32_t> ids(2);
  data.read_document(ids, 0, 0);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2}));
  data.read_document(ids, 1, 1);
  EXPECT_EQ(ids, (std::vector<int32_t>{4, 5}));
  data.read_document(std::span(ids).first(1), 0, 1);
  EXPECT_EQ(ids[0], 2);
}

TEST(Indexed, EveryTypeReadsBackAsWritten) {
  const TempDir dir;
  const std::vector<std::vector<int32_t>> documents = {{0, 5, 127}, {1}, {}, {90, 2}};
  for (const TokenType type :
       {TokenType::u8, TokenType::i8, TokenType::i16, TokenType::i32, TokenType::i64, TokenType::u16}) {
    write_token_files(dir.path("t"), documents, type);
    const IndexedDataset data(dir.path("t"), 128);
    ASSERT_EQ(data.num_documents(), 4);
    EXPECT_EQ(data.type(), type);
    for (int64_t d = 0; d < 4; ++d) {
      std::vector<int32_t> ids(static_cast<size_t>(data.document_length(d)));
      data.read_document(ids, d, 0);
      EXPECT_EQ(ids, documents[static_cast<size_t>(d)]);
    }
  }
}

TEST(Indexed, TypeFollowsTheVocabulary) {
  EXPECT_EQ(token_type_for(65499), TokenType::u16);
  EXPECT_EQ(token_type_for(65500), TokenType::i32);
}

TEST(Indexed, TableInAnyOrderIsTrusted) {  // merged files keep pointers rising, but readers go by the table
  const std::string swapped = with(with(kIdx, 46, int64_t{2}), 54, int64_t{0});
  const IndexedDataset data("x", read_megatron("x", bytes_of(kBin), bytes_of(swapped)), 100);
  std::vector<int32_t> ids(2);
  data.read_document(ids, 0, 0);
  EXPECT_EQ(ids, (std::vector<int32_t>{2, 1}));
}

TEST(Indexed, EveryTruncationIsRefused) {
  for (size_t size = 0; size < kIdx.size(); ++size) EXPECT_NE(message_of(kBin, kIdx.substr(0, size)), "") << size;
  for (size_t size = 0; size < kBin.size(); ++size) EXPECT_NE(message_of(kBin.substr(0, size), kIdx), "") << size;
  EXPECT_EQ(message_of(kBin, kIdx), "");
}

TEST(Indexed, DamagedFieldsAreNamedWithTheirOffset) {
  const int64_t huge = std::numeric_limits<int64_t>::max();
  const struct {
    std::string idx, expected;
  } cases[] = {
      {"TNTIDX" + kIdx.substr(6), "byte 0: expected the 9 bytes MMIDIDX"},
      {std::string("TNTIDX\0\0", 8) + kIdx.substr(8), "byte 8: expected version 1"},
      {"PK" + kIdx.substr(2), "byte 0: expected the 9 bytes MMIDIDX"},
      {with(kIdx, 9, uint64_t{2}), "byte 9: expected version 1, found 2"},
      {with(kIdx, 17, uint8_t{7}), "byte 17: type 7 is a floating-point one"},
      {with(kIdx, 17, uint8_t{0}), "byte 17: expected a type from 1 to 8, found 0"},
      {with(kIdx, 17, uint8_t{9}), "byte 17: expected a type from 1 to 8, found 9"},
      {with(kIdx, 18, huge), "byte 18: 9223372036854775807 sequences"},
      {with(kIdx, 18, int64_t{-1}), "byte 18: 18446744073709551615 sequences"},
      {with(kIdx, 18, uint64_t{0x1555555555555556}), "byte 18"},  // times 12 it is 8 modulo 2^64
      {with(kIdx, 26, huge), "byte 26: 9223372036854775807 document entries"},
      {with(kIdx, 26, int64_t{0}), "byte 26: expected at least 1 document entry"},
      {with(kIdx, 26, int64_t{2}), "byte 86: expected the file to end here, it has 94 bytes"},
      {kIdx + std::string(3, '\0'), "byte 94: the index has a table of modes"},
      {kIdx + " ", "byte 94: expected the file to end here, it has 95 bytes"},
      {with(kIdx, 38, int32_t{-1}), "byte 38: sequence 1 has the negative length -1"},
      {with(kIdx, 42, int32_t{4}),
       "byte 62: sequence 2 of 4 ids of 2 bytes begins at byte 4 of x.bin, which has only 10 bytes"},
      {with(kIdx, 42, std::numeric_limits<int32_t>::max()), "byte 62: sequence 2"},
      {with(kIdx, 62, huge), "byte 62: sequence 2"},
      {with(kIdx, 62, int64_t{-2}), "byte 62: sequence 2"},
      {with(kIdx, 70, int64_t{1}), "byte 70: expected the first document to begin at sequence 0, found 1"},
      {with(kIdx, 78, int64_t{4}), "byte 78: document 1 begins at sequence 4"},
      {with(kIdx, 78, int64_t{-1}), "byte 78: document 1 begins at sequence -1"},
      {with(kIdx, 86, int64_t{2}), "byte 86: expected the last document to end at sequence 3, found 2"},
  };
  for (const auto& c : cases) {
    const std::string message = message_of(kBin, c.idx);
    EXPECT_EQ(message.substr(0, 7), "x.idx: ") << message;
    EXPECT_NE(message.find(c.expected), std::string::npos) << "expected: " << c.expected << "\nfound: " << message;
  }
}

TEST(Indexed, IdBeyondTheVocabularyIsNamed) {
  EXPECT_EQ(message_of(kBin, kIdx, 6), "");
  const std::string message = message_of(kBin, kIdx, 5);
  EXPECT_NE(message.find("x.bin: byte 8: document 1 (sequence 2, position 2) has the id 5, the vocabulary has 5 ids"),
            std::string::npos)
      << message;
  const std::string negative = with(with(kIdx, 17, uint8_t{3}), 18, uint64_t{3});
  EXPECT_NE(message_of(with(kBin, 2, int16_t{-1}), negative).find("document 0 (sequence 1, position 0) has the id -1"),
            std::string::npos);
}

TEST(Indexed, MissingFilesAreNamed) {
  const TempDir dir;
  try {
    const IndexedDataset data(dir.path("none"));
    FAIL();
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("none.bin"), std::string::npos);
  }
}

// Whatever call fails, the names show the old files whole, the new ones whole, or no index at all.
TEST(Indexed, ReplacingFilesNeverShowsAMixture) {
  for (const bool dead : {false, true}) {
    for (int64_t fail_at = 0;; ++fail_at) {
      const TempDir dir;
      write_token_files(dir.path("t"), {{1, 2, 3}, {4}});
      testing::FailingFileSystem fs(fail_at, "disk is gone", dead);
      bool failed = false;
      try {
        IndexedWriter writer(dir.path("t"), TokenType::u16, fs);
        writer.add_sequence(std::vector<int32_t>{7, 8, 9, 10});
        writer.end_document();
        writer.commit("{}");
      } catch (const IoError&) {
        failed = true;
      }
      if (std::filesystem::exists(dir.path("t.idx"))) {
        const IndexedDataset data(dir.path("t"));
        const bool old = data.num_documents() == 2;
        EXPECT_EQ(data.num_tokens(), 4);
        std::vector<int32_t> ids(static_cast<size_t>(data.document_length(0)));
        data.read_document(ids, 0, 0);
        EXPECT_EQ(ids, old ? (std::vector<int32_t>{1, 2, 3}) : (std::vector<int32_t>{7, 8, 9, 10})) << fail_at;
      }
      if (fail_at >= fs.calls()) {
        EXPECT_FALSE(failed);
        break;
      }
    }
  }
}

TEST(Indexed, PowerLossNeverShowsAMixture) {
  const TempDir dir;
  const std::string root = dir.path("root");
  std::filesystem::create_directory(root);
  testing::RecordingFileSystem fs;
  for (const std::vector<int32_t>& ids : {std::vector<int32_t>{1, 2, 3}, std::vector<int32_t>{7, 8}}) {
    IndexedWriter writer(root + "/t", TokenType::u16, fs);
    for (const int64_t part : {0, 1}) {
      writer.add_sequence(part == 0 ? std::span(ids) : std::span(ids).first(4 - ids.size()));
      writer.end_document();
    }
    writer.commit("{}");
  }
  std::mt19937_64 random(1);
  int seen_first = 0, seen_second = 0;
  for (size_t calls = 0; calls <= fs.log().size(); ++calls) {
    for (int draw = 0; draw < 10; ++draw) {
      const std::string image = dir.path(cat("image", calls, "-", draw));
      fs.crash_image(root, calls, image, random);
      if (!std::filesystem::exists(image + "/t.idx")) continue;
      const IndexedDataset data(image + "/t");
      std::vector<int32_t> ids(static_cast<size_t>(data.document_length(0)));
      data.read_document(ids, 0, 0);
      (ids.size() == 3 ? seen_first : seen_second) += 1;
      EXPECT_EQ(ids, ids.size() == 3 ? (std::vector<int32_t>{1, 2, 3}) : (std::vector<int32_t>{7, 8})) << calls;
    }
  }
  EXPECT_GT(seen_first, 0);
  EXPECT_GT(seen_second, 0);
}

}  // namespace
}  // namespace trireme
