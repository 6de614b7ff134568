// Token files of every format, what is wrong with them, merging and blending.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/error.h"
#include "data/blend.h"
#include "data/indexed.h"
#include "data/merge.h"
#include "data/token_file_info.h"
#include "support/temp_dir.h"
#include "support/token_files.h"

namespace trireme {
namespace {

using testing::TempDir;
using Documents = std::vector<std::vector<int32_t>>;

std::string golden(const std::string& name) { return std::string(TRIREME_SOURCE_DIR) + "/tests/golden/data/" + name; }

Documents documents_of(const IndexedDataset& data) {
  Documents out;
  for (int64_t d = 0; d < data.num_documents(); ++d) {
    std::vector<int32_t>& ids = out.emplace_back(static_cast<size_t>(data.document_length(d)));
    data.read_document(ids, d, 0);
  }
  return out;
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string error_of(const std::string& prefix) {
  try {
    documents_of(IndexedDataset(prefix));
  } catch (const IoError& error) {
    return error.what();
  }
  return "";
}

/// The documents of make_token_files.py: lens 3 0 | 5 | | 1 4 2 | 6.
Documents numpys() {
  Documents documents = testing::counted_documents({3, 5, 0, 7, 6});
  for (auto& ids : documents)
    for (int32_t& id : ids) id += 1000;
  return documents;
}

TEST(PaddleFiles, StoredAndPackedArraysOfNumpy) {
  for (const char* name : {"paddle", "packed"}) {
    const IndexedDataset data(golden(name));
    EXPECT_EQ(data.num_sequences(), 7);
    EXPECT_EQ(documents_of(data), numpys()) << name;
    EXPECT_EQ(data.type(), std::string(name) == "paddle" ? TokenType::u16 : TokenType::i32);
    EXPECT_TRUE(has_token_files(golden(name)));
  }
  const IndexedDataset single(golden("single"));
  EXPECT_EQ(single.num_documents(), 7);
  EXPECT_EQ(single.sequence_length(6), 6);
  EXPECT_EQ(documents_of(single)[6], numpys()[4]);
}

TEST(PaddleFiles, EveryTruncationAndEveryChangedByteIsRefusedOrHarmless) {
  const TempDir dir(testing::memory_folder());
  for (const char* name : {"paddle", "packed", "single"}) {
    const bool one = std::string(name) == "single";
    const std::string npz = read_file(golden(name) + (one ? "_ids.npz" : "_idx.npz"));
    const std::string ids = one ? "" : read_file(golden(name) + "_ids.npy");
    const std::string at = dir.path("t") + (one ? "_ids.npz" : "_idx.npz");
    std::filesystem::remove(dir.path("t_ids.npy"));
    std::filesystem::remove(dir.path("t_idx.npz"));
    if (!one) write_file(dir.path("t_ids.npy"), ids);
    const Documents expected = documents_of(IndexedDataset(golden(name)));
    for (size_t size = 0; size < npz.size(); size += 3) {
      write_file(at, npz.substr(0, size));
      EXPECT_NE(error_of(dir.path("t")).find(at), std::string::npos) << name << " cut to " << size;
    }
    for (size_t i = 0; i < npz.size(); ++i) {
      std::string changed = npz;
      changed[i] ^= 0x41;
      write_file(at, changed);
      try {
        EXPECT_EQ(documents_of(IndexedDataset(dir.path("t"))), expected) << name << ": byte " << i;
      } catch (const IoError& error) {
        EXPECT_NE(std::string(error.what()).find("t_id"), std::string::npos) << error.what();
      }
    }
    write_file(at, npz);
    for (size_t size = 0; size < ids.size(); size += 2) {
      write_file(dir.path("t_ids.npy"), ids.substr(0, size));
      EXPECT_NE(error_of(dir.path("t")), "") << name << " ids cut to " << size;
    }
  }
}

TEST(PaddleFiles, CountsThatDisagreeAreNamed) {
  const TempDir dir;
  write_file(dir.path("t_idx.npz"), read_file(golden("paddle_idx.npz")));
  std::string ids = read_file(golden("paddle_ids.npy"));
  ids.replace(ids.find("(21,)"), 5, "(22,)");
  write_file(dir.path("t_ids.npy"), ids);
  EXPECT_NE(error_of(dir.path("t")).find("22 integers of 2 bytes are expected, the file has 42 bytes left"),
            std::string::npos);
  write_file(dir.path("t_ids.npy"), ids + "xx");
  const std::string message = error_of(dir.path("t"));
  EXPECT_NE(message.find("all lens together are 21"), std::string::npos) << message;
  EXPECT_NE(message.find("has 22 ids"), std::string::npos) << message;
}

/// {1, 2} and {3, 4, 5} in the older format.
std::string tntidx(bool with_documents) {
  std::string out("TNTIDX\0\0", 8);
  for (const uint64_t value : {1, 4, 4, 2, 2}) put(out, value);
  if (with_documents) put(out, uint64_t{3});
  for (const int64_t value : {0, 1, 2, 0, 2, 5, 2, 3}) put(out, value);
  if (with_documents)
    for (const int64_t value : {0, 1, 2}) put(out, value);
  return out;
}

TEST(OlderMegatron, IsReadWithAndWithoutDocuments) {
  const TempDir dir(testing::memory_folder());
  std::string bin;
  for (const int32_t id : {1, 2, 3, 4, 5}) put(bin, id);
  write_file(dir.path("t.bin"), bin);
  for (const bool with_documents : {true, false}) {
    const std::string idx = tntidx(with_documents);
    write_file(dir.path("t.idx"), idx);
    const IndexedDataset data(dir.path("t"));
    EXPECT_EQ(documents_of(data), (Documents{{1, 2}, {3, 4, 5}}));
    EXPECT_EQ(data.type(), TokenType::i32);
    for (size_t size = 0; size < idx.size(); ++size) {
      write_file(dir.path("t.idx"), idx.substr(0, size));
      EXPECT_NE(error_of(dir.path("t")), "") << size;
    }
    for (size_t i = 16; i < idx.size(); i += 8) {  // each field in turn
      for (const int64_t value : {int64_t{-1}, std::numeric_limits<int64_t>::max(), int64_t{1} << 61}) {
        std::string changed = idx;
        std::memcpy(changed.data() + i, &value, 8);
        write_file(dir.path("t.idx"), changed);
        EXPECT_NE(error_of(dir.path("t")).find("t.idx: "), std::string::npos) << i;
      }
    }
  }
}

TEST(LlmcShard, IsOneDocumentUnderItsNameOrWithoutItsEnding) {
  const TempDir dir;
  std::string file;
  for (const int32_t value : {20240520, 1, 4}) put(file, value);
  file.resize(1024);
  for (const uint16_t id : {50256, 7, 8, 9}) put(file, id);
  write_file(dir.path("x_train_000001.bin"), file);
  for (const char* name : {"x_train_000001.bin", "x_train_000001"}) {
    EXPECT_TRUE(has_token_files(dir.path(name)));
    EXPECT_EQ(documents_of(IndexedDataset(dir.path(name))), (Documents{{50256, 7, 8, 9}}));
  }
  for (size_t size = 0; size < file.size(); size += size < 1000 ? 97 : 1) {
    write_file(dir.path("x_train_000001.bin"), file.substr(0, size));
    const std::string message = error_of(dir.path("x_train_000001"));
    EXPECT_NE(message, "") << size;
    EXPECT_TRUE(size < 4 || message.find("x_train_000001.bin: byte ") != std::string::npos) << size << message;
  }
  const int32_t wide[] = {20240801, 7, 2};
  std::memcpy(file.data(), wide, sizeof wide);
  write_file(dir.path("x.bin"), file);
  EXPECT_EQ(documents_of(IndexedDataset(dir.path("x"))), (Documents{{50256 + (7 << 16), 8 + (9 << 16)}}));
  EXPECT_FALSE(has_token_files(dir.path("none")));
  testing::write_token_files(dir.path("cut"), {{1, 2, 3}});
  std::filesystem::remove(dir.path("cut.idx"));  // a commit that was cut short
  EXPECT_FALSE(has_token_files(dir.path("cut")));
}

TEST(Merge, KeepsDocumentsSequencesAndOrder) {
  const TempDir dir;
  testing::write_token_files(dir.path("a"), {{1, 2}, {}, {3}});
  std::filesystem::remove(dir.path("a.meta.json"));
  merge_token_files(dir.path("out/all"), {dir.path("a"), golden("packed"), dir.path("a")});
  const IndexedDataset data(dir.path("out/all"));
  Documents expected = {{1, 2}, {}, {3}};
  for (const auto& ids : numpys()) expected.push_back(ids);
  for (const auto& ids : Documents{{1, 2}, {}, {3}}) expected.push_back(ids);
  EXPECT_EQ(documents_of(data), expected);
  EXPECT_EQ(data.num_sequences(), 13);
  EXPECT_EQ(data.type(), TokenType::i32);  // of two types the wider
  EXPECT_FALSE(read_token_file_info(dir.path("out/all")).has_value());
  merge_token_files(dir.path("copy"), {dir.path("a")});
  EXPECT_EQ(read_file(dir.path("copy.bin")), read_file(dir.path("a.bin")));
  EXPECT_EQ(read_file(dir.path("copy.idx")), read_file(dir.path("a.idx")));
  EXPECT_THROW(merge_token_files(dir.path("a"), {dir.path("copy"), dir.path("a")}), ConfigError);
  EXPECT_THROW(merge_token_files(dir.path("b"), {dir.path("none")}), IoError);
}

TEST(Merge, FilesOfDifferentTokenizersAreRefused) {
  const TempDir dir;
  TokenFileInfo info;
  for (const char* name : {"a", "b"}) {
    testing::write_token_files(dir.path(name), {{1, 2}});
    info.tokenizer = name;
    info.tokens = 2;
    write_file(dir.path(name) + ".meta.json", info.str());
  }
  EXPECT_THROW(merge_token_files(dir.path("out"), {dir.path("a"), dir.path("b")}), ConfigError);
  merge_token_files(dir.path("out"), {dir.path("a"), dir.path("a")});
  EXPECT_EQ(read_token_file_info(dir.path("out"))->tokens, 4);
}

TEST(Blend, WordsArePrefixesAndWeights) {
  const std::vector<std::string> words = {"a:0.5", "dir/b", "c:d:2e1", "e:f"};
  EXPECT_EQ(parse_blend(words), (std::vector<BlendSource>{{"a", 0.5}, {"dir/b", 1}, {"c:d", 20}, {"e:f", 1}}));
  for (const char* bad : {"a:0", "a:-1"}) EXPECT_THROW(parse_blend(std::vector<std::string>{bad}), ConfigError) << bad;
}

TEST(Blend, HoldsTheSharesInEveryStretchAndEachSetsOrder) {
  const TempDir dir;
  const std::vector<BlendSource> sources = {{dir.path("a"), 7}, {dir.path("b"), 2}, {dir.path("c"), 1}};
  std::vector<IndexedDataset> sets;
  DataConfig config;
  config.sequence_length = 5;
  config.split = {1, 0, 0};
  for (size_t s = 0; s < 3; ++s) {
    Documents documents = testing::counted_documents({30, 9, 41, 12});
    for (auto& ids : documents)
      for (int32_t& id : ids) id += static_cast<int32_t>(s) * 1000;
    testing::write_token_files(sources[s].prefix, documents, TokenType::i32);
    sets.emplace_back(sources[s].prefix);
  }
  const std::vector<double> shares = {0.7, 0.2, 0.1};
  for (const DataOrder kind : {DataOrder::trireme, DataOrder::megatron}) {
    config.order = kind;
    const auto blend = make_blend_order(sets, sources, config, DataPart::train, 1000);
    std::vector<std::unique_ptr<SampleOrder>> alone;
    for (size_t s = 0; s < 3; ++s) {
      const double asked = std::ceil(std::ceil(1000 * shares[s]) * 1.005);
      alone.push_back(make_order(sets[s], config, DataPart::train, static_cast<int64_t>(asked)));
    }
    std::vector<int64_t> counts(3);
    std::vector<int32_t> ids(6), expected(6);
    for (int64_t i = 0; i < 1000; ++i) {
      blend->sample(ids, i);
      const auto s = static_cast<size_t>(ids[0] / 1000);
      alone[s]->sample(expected, counts[s]++);
      EXPECT_EQ(ids, expected) << i;
      for (size_t k = 0; k < 3; ++k)
        EXPECT_NEAR(static_cast<double>(counts[k]), shares[k] * static_cast<double>(i + 1), 1.5);
    }
    EXPECT_EQ(counts, (std::vector<int64_t>{700, 200, 100}));
  }
}

TEST(Blend, PlaceIsAPureFunctionBeyondACycle) {
  const TempDir dir;
  testing::write_token_files(dir.path("a"), testing::counted_documents({100}));
  const IndexedDataset data(dir.path("a"));
  std::vector<std::unique_ptr<SampleOrder>> orders;
  for (int s = 0; s < 2; ++s) orders.push_back(std::make_unique<EpochOrder>(data, DocumentRange{0, 1}, 5, 1));
  const std::vector<double> weights = {0.25, 0.75};
  const BlendOrder blend(std::move(orders), weights, 16);
  std::vector<int64_t> next(2);
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(blend.index(i), next[blend.place(i).set]++) << i;
  EXPECT_EQ(next[0] * 3, next[1]);
}

}  // namespace
}  // namespace trireme
