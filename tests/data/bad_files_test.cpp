// What malformed tokenizer and token files end in: one message that names the file and the place in it, and no more
// memory than the file is worth. A case a kind of fault; each room's own tests have more.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>

#include "base/error.h"
#include "base/file.h"
#include "data/indexed.h"
#include "support/temp_dir.h"
#include "support/token_files.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::TempDir;

/// The error that `fn` ends in, or "".
template <class Fn>
std::string error_of(Fn fn) {
  try {
    fn();
  } catch (const IoError& error) {
    return error.what();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

::testing::AssertionResult says(const std::string& error, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    if (error.find(part) == std::string::npos) {
      return ::testing::AssertionFailure() << "'" << part << "' is not in: " << error;
    }
  }
  return ::testing::AssertionSuccess();
}

void read_all(const std::string& prefix, int64_t vocabulary = IndexedDataset::kAnyVocabulary) {
  const IndexedDataset data(prefix, vocabulary);
  for (int64_t d = 0; d < data.num_documents(); ++d) {
    std::vector<int32_t> ids(static_cast<size_t>(data.document_length(d)));
    data.read_document(ids, d, 0);
  }
}

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// Kilobytes of memory that this process has ever held.
long peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(BadFiles, CyclicMergesAreNamedWithFileAndLine) {
  // What two tokens become is longer than each, so a cycle needs an empty one: "" + "a" = "a".
  const TempDir dir;
  write_file(dir.path("tokenizer.json"),
             "{\"model\": {\"type\": \"BPE\",\n \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2},\n"
             " \"merges\": [\"a b\",\n  [\"\", \"a\"]]}}");
  EXPECT_TRUE(says(error_of([&] { Tokenizer::load(dir.path()); }),
                   {dir.path("tokenizer.json"), "line 4", "model.merges[1]", "left part ''"}));
  write_file(dir.path("tokenizer.json"),
             "{\"model\": {\"type\": \"BPE\",\n \"vocab\": {\"a\": 0,\n  \"\": 1}, \"merges\": [[\"\", \"a\"]]}}");
  EXPECT_TRUE(says(error_of([&] { Tokenizer::load(dir.path()); }),
                   {dir.path("tokenizer.json"), "line 3", "model.vocab", "is an empty token"}));
}

TEST(BadFiles, IdsOutOfRangeAreNamedWithFileAndPlace) {
  const TempDir dir;
  write_file(dir.path("tokenizer.json"),
             "{\"model\": {\"type\": \"BPE\",\n \"vocab\": {\"a\": 0,\n  \"b\": 2000000000}, \"merges\": []}}");
  EXPECT_TRUE(says(error_of([&] { Tokenizer::load(dir.path()); }),
                   {dir.path("tokenizer.json"), "line 3", "model.vocab", "the id 2000000000"}));
  testing::write_token_files(dir.path("t"), {{1, 2}, {3, 400, 5}});
  EXPECT_TRUE(says(
      error_of([&] { read_all(dir.path("t"), 300); }),
      {dir.path("t.bin"), "byte 6: document 1 (sequence 1, position 1) has the id 400", "the vocabulary has 300"}));
}

TEST(BadFiles, WrongCountsAreNamedWithFileAndByte) {
  const TempDir dir;
  testing::write_token_files(dir.path("t"), {{1, 2}, {3, 4, 5}});
  std::string idx = read_file(dir.path("t.idx"));
  idx.replace(18, 8, raw(int64_t{3}));  // sequences, behind magic, version and type
  write_file(dir.path("t.idx"), idx);
  EXPECT_TRUE(says(error_of([&] { read_all(dir.path("t")); }), {dir.path("t.idx") + ": byte "}));
  write_file(dir.path("x.bin"),
             raw(int32_t{20240520}) + raw(int32_t{1}) + raw(int32_t{9}) + std::string(1012, '\0') + "ab");
  EXPECT_TRUE(says(error_of([&] { read_all(dir.path("x.bin")); }),
                   {dir.path("x.bin"), "byte 8: 9 ids of 2 bytes behind 1024 bytes do not make a file of 1026"}));
}

TEST(BadFiles, ATruncatedNpzIsNamedWithFileAndByte) {
  const TempDir dir;
  const std::string golden = TRIREME_SOURCE_DIR "/tests/golden/data/";
  write_file(dir.path("t_ids.npy"), read_file(golden + "paddle_ids.npy"));
  const std::string npz = read_file(golden + "paddle_idx.npz");
  for (size_t size = 0; size < npz.size(); size += 7) {
    write_file(dir.path("t_idx.npz"), npz.substr(0, size));
    EXPECT_TRUE(says(error_of([&] { read_all(dir.path("t")); }), {dir.path("t_idx.npz") + ": byte "})) << size;
  }
}

TEST(BadFiles, HostileSizesTakeNoMemory) {
  const TempDir dir;
  const long before = peak_memory();
  testing::write_token_files(dir.path("t"), {{1, 2}, {3, 4, 5}});
  std::string idx = read_file(dir.path("t.idx"));
  idx.replace(18, 8, raw(int64_t{1} << 60));
  write_file(dir.path("t.idx"), idx);
  EXPECT_TRUE(says(error_of([&] { read_all(dir.path("t")); }), {dir.path("t.idx") + ": byte 18: 1152921504606846976"}));
  // A piece of 2^63 - 1 bytes in a SentencePiece model.
  write_file(dir.path("tokenizer.model"), "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F");
  EXPECT_TRUE(says(error_of([&] { Tokenizer::load(dir.path("tokenizer.model")); }),
                   {dir.path("tokenizer.model") + ": byte 10: field 1 of 9223372036854775807 bytes"}));
  write_file(dir.path("a.tiktoken"), "YQ== 4000000000\n");
  EXPECT_TRUE(says(error_of([&] { Tokenizer::load(dir.path("a.tiktoken")); }),
                   {dir.path("a.tiktoken") + ": line 1: the rank 4000000000"}));
  EXPECT_LT(peak_memory() - before, 64 << 10);
}

}  // namespace
}  // namespace trireme
