// Reading and writing Hugging Face's files, and what is refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

using testing::TempDir;

/// A folder with a tiny valid vocab.json (256 bytes, "ab", "abc", <|endoftext|>) and merges.txt, to be damaged.
class Files {
 public:
  Files() {
    vocab_ = Json::object();
    for (const uint8_t byte : alphabet_order()) vocab_[spell_bytes(std::string(1, static_cast<char>(byte)))] = next_++;
    for (const char* token : {"ab", "abc", "<|endoftext|>"}) vocab_[token] = next_++;
    write("vocab.json", vocab_.dump());
    write("merges.txt", "#version: 0.2\na b\nab c\n");
  }
  Json& vocab() { return vocab_; }
  void write(const std::string& name, std::string_view text) { write_file(folder_.path(name), text); }
  void write_vocab() { write("vocab.json", vocab_.dump()); }
  Tokenizer load() const { return Tokenizer::load(folder_.path()); }
  /// The error that loading gives, or "".
  std::string error() const {
    try {
      load();
    } catch (const ConfigError& e) {
      return e.what();
    } catch (const IoError& e) {
      return e.what();
    }
    return "";
  }

 private:
  TempDir folder_;
  Json vocab_;
  int next_ = 0;
};

::testing::AssertionResult says(const std::string& error, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (error.find(part) != std::string::npos) continue;
    return ::testing::AssertionFailure() << "'" << part << "' is not in: " << error;
  }
  return ::testing::AssertionSuccess();
}

TEST(TokenizerFiles, TheTinyPairLoads) {
  Files files;
  const Tokenizer tokenizer = files.load();
  EXPECT_EQ(tokenizer.encode("abc"), std::vector<int32_t>{257});
  EXPECT_EQ(tokenizer.eos_id(), 258);
  files.write("merges.txt", "a b\r\nab c");  // no version, other line ends
  EXPECT_EQ(files.load().fingerprint(), tokenizer.fingerprint());
}

TEST(TokenizerFiles, SavedFilesLoadToTheSameTokenizer) {
  const Tokenizer tokenizer = testing::small_tokenizer();
  TempDir folder;
  tokenizer.save(folder.path());
  EXPECT_EQ(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
  EXPECT_EQ(Tokenizer::load(folder.path()).spec().roles, tokenizer.spec().roles);
  std::filesystem::remove(folder.path("tokenizer.json"));  // now from the pair
  EXPECT_EQ(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
  EXPECT_EQ(Tokenizer::load(folder.path()).eos_id(), tokenizer.eos_id());
  EXPECT_EQ(read_file(folder.path("merges.txt")), read_file(testing::golden_path("merges.txt")));
}

TEST(TokenizerFiles, SpecialTokensMayHaveSpacesAndLieBehindTheVocabulary) {
  Files files;
  files.write("tokenizer_config.json", R"({"tokenizer_class": "GPT2TokenizerFast",
      "eos_token": {"content": "<end of text>"}, "bos_token": null, "add_bos_token": false,
      "added_tokens_decoder": {"259": {"content": "<end of text>", "special": true, "lstrip": false},
                               "258": {"content": "<|endoftext|>", "special": true}}})");
  const Tokenizer tokenizer = files.load();
  EXPECT_EQ(tokenizer.vocab_size(), 260);
  EXPECT_EQ(tokenizer.eos_id(), 259);
  EXPECT_EQ(tokenizer.encode("<end of text><|endoftext|>", true), (std::vector<int32_t>{259, 258}));
  TempDir folder;
  tokenizer.save(folder.path());
  EXPECT_EQ(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
}

TEST(TokenizerFiles, AVocabularyWithoutSpecialTokensStaysSo) {
  TokenizerSpec spec = testing::small_tokenizer().spec();
  spec.tokens.pop_back();
  spec.special.clear();
  spec.roles.clear();
  TempDir folder;
  Tokenizer(spec).save(folder.path());
  EXPECT_EQ(Tokenizer::load(folder.path()).eos_id(), std::nullopt);
}

TEST(TokenizerFiles, MalformedMergesNameTheLine) {
  Files files;
  const auto error = [&](const char* merges) {
    files.write("merges.txt", merges);
    return files.error();
  };
  EXPECT_TRUE(says(error("#version: 0.2\na b\nab\n"), {"merges.txt: line 3", "two tokens", "'ab'"}));
  EXPECT_TRUE(says(error("a b\n\nab c\n"), {"merges.txt: line 2"}));
  EXPECT_TRUE(says(error("a b c\n"), {"merges.txt: line 1"}));
  EXPECT_TRUE(says(error("a \n"), {"merges.txt: line 1"}));
  EXPECT_TRUE(says(error("a b\nb c\n"), {"merges.txt: line 2", "the result", "'bc'", "vocab.json"}));
  EXPECT_TRUE(says(error("a b\nxy c\n"), {"merges.txt: line 2", "the left part", "'xy'"}));
  EXPECT_TRUE(says(error("a b\nab c\na b\n"), {"merges.txt: line 3", "twice"}));
  EXPECT_TRUE(says(error("a \u6625\n"), {"merges.txt: line 1", "not a byte-level token"}));
  EXPECT_TRUE(says(error("a \xFF\n"), {"merges.txt: line 1"}));
}

TEST(TokenizerFiles, MalformedVocabulariesNameTheToken) {
  const auto error = [](const std::function<void(Json&)>& damage) {
    Files files;
    damage(files.vocab());
    files.write_vocab();
    return files.error();
  };
  EXPECT_TRUE(says(error([](Json& v) { v["abc"] = 256; }), {"vocab.json: line 1", "256", "'ab'", "'abc'"}));
  EXPECT_TRUE(says(error([](Json& v) { v["abc"] = 300; }), {"vocab.json", "300", "'abc'", "holes"}));
  EXPECT_TRUE(says(error([](Json& v) { v["abc"] = -1; }), {"vocab.json", "-1"}));
  EXPECT_TRUE(says(error([](Json& v) { v["abc"] = int64_t{1} << 40; }), {"vocab.json", "1099511627776"}));
  EXPECT_TRUE(says(error([](Json& v) { v["abc"] = "257"; }), {"vocab.json", "expected the id of 'abc'", "string"}));
  EXPECT_TRUE(says(error([](Json& v) { v["\u6625"] = 259; }), {"vocab.json", "\u6625", "no byte"}));
  EXPECT_TRUE(says(error([](Json& v) { v[""] = 259; }), {"vocab.json", "empty"}));
  EXPECT_TRUE(says(error([](Json& v) {
                     v.erase("\u0120");
                     v["zz"] = 220;
                   }),
                   {"vocab.json", "byte 32", "every byte"}));
  EXPECT_TRUE(says(error([](Json& v) { v = Json::array(); }), {"vocab.json", "expected an object", "a list"}));
}

TEST(TokenizerFiles, BrokenJsonNamesTheOffset) {
  Files files;
  files.write("vocab.json", R"({"a": 0, "b")");
  EXPECT_TRUE(says(files.error(), {"vocab.json", "byte 13"}));
  files.write("vocab.json", R"({"a": 0, "a": 1})");
  EXPECT_TRUE(says(files.error(), {"vocab.json", "a"}));
}

TEST(TokenizerFiles, SideFilesThatChangeIdsAreRefused) {
  const auto error = [](const char* config) {
    Files files;
    files.write("tokenizer_config.json", config);
    return files.error();
  };
  EXPECT_TRUE(says(error(R"({"tokenizer_class": "Qwen2Tokenizer"})"), {"config.json: line 1", "Qwen2Tokenizer"}));
  EXPECT_TRUE(says(error(R"({"add_prefix_space": true})"), {"tokenizer_config.json", "add_prefix_space"}));
  EXPECT_TRUE(says(error(R"({"eos_token": "</s>"})"), {"'</s>'", "not in the vocabulary"}));
  const auto added = [&](const std::string& id, const std::string& more) {
    const std::string token = R"({"content": "<|endoftext|>", "special": true)" + more + "}";
    return error((R"({"added_tokens_decoder": {")" + id + "\": " + token + "}}").c_str());
  };
  EXPECT_EQ(added("258", ""), "");
  EXPECT_TRUE(says(added("258", R"(, "lstrip": true)"), {"lstrip"}));
  EXPECT_TRUE(says(added("7", ""), {"258", "7"}));
  EXPECT_TRUE(says(added("x", ""), {"'x'"}));
  EXPECT_TRUE(says(error(R"({"eos_token": {"content": 3}})"), {"tokenizer_config.json", "expected"}));
  EXPECT_TRUE(says(error(R"([1])"), {"tokenizer_config.json", "expected"}));
}

TEST(TokenizerFiles, OtherKindsOfTokenizerJsonAreRefused) {
  TempDir folder;
  testing::small_tokenizer().save(folder.path());
  const Json good = read_json(folder.path("tokenizer.json"));
  const auto error = [&](const std::function<void(Json&)>& change) -> std::string {
    Json changed = good;
    change(changed);
    write_file(folder.path("tokenizer.json"), changed.dump(1));
    try {
      Tokenizer::load(folder.path());
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error([](Json&) {}), "");
  EXPECT_TRUE(says(error([](Json& j) { j["normalizer"]["type"] = "Precompiled"; }),
                   {"tokenizer.json: line", "normalizer", "'precompiled_charsmap'"}));
  EXPECT_TRUE(says(error([](Json& j) { j["pre_tokenizer"]["type"] = "Split"; }), {"pre_tokenizer", "'pattern'"}));
  EXPECT_EQ(error([](Json& j) { j["pre_tokenizer"] = Json(); }), "");
  EXPECT_TRUE(says(error([](Json& j) { j["pre_tokenizer"]["use_regex"] = 3; }), {"pre_tokenizer.use_regex"}));
  EXPECT_TRUE(says(error([](Json& j) { j["model"]["type"] = "WordPiece"; }),
                   {"model.type", "WordPiece", "supported are BPE, Unigram"}));
  EXPECT_TRUE(says(error([](Json& j) { j["model"]["type"] = "Unigram"; }), {"model.vocab", "a list"}));
  EXPECT_TRUE(says(error([](Json& j) { j["model"]["byte_fallback"] = 3; }), {"model.byte_fallback"}));
  EXPECT_TRUE(says(error([](Json& j) { j.erase("model"); }), {"'model'"}));
  EXPECT_TRUE(says(error([](Json& j) { j["model"]["vocab"] = 3; }), {"tokenizer.json", "expected"}));
  EXPECT_TRUE(says(error([](Json& j) { j["model"]["merges"].push_back("lonely"); }), {"tokenizer.json", "lonely"}));
}

TEST(TokenizerFiles, MergesMayBePairs) {
  TempDir folder;
  const Tokenizer tokenizer = testing::small_tokenizer();
  tokenizer.save(folder.path());
  Json root = read_json(folder.path("tokenizer.json"));
  for (Json& merge : root["model"]["merges"].items()) {
    const std::string text = merge.as_string();
    merge = Json::array();
    merge.push_back(text.substr(0, text.find(' ')));
    merge.push_back(text.substr(text.find(' ') + 1));
  }
  write_file(folder.path("tokenizer.json"), root.dump());
  EXPECT_EQ(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
}

TEST(TokenizerFiles, AnEmptyFolderSaysWhatIsExpected) {
  TempDir folder;
  try {
    Tokenizer::load(folder.path());
    FAIL();
  } catch (const IoError& e) {
    EXPECT_TRUE(says(e.what(), {"tokenizer.json", "vocab.json and merges.txt"}));
  }
}

TEST(TokenizerFiles, OnlyGpt2sKindIsWritten) {
  TokenizerSpec spec = testing::small_tokenizer().spec();
  spec.pieces[0].scanner = SplitPattern::llama3;
  TempDir folder;
  EXPECT_THROW(Tokenizer(spec).save(folder.path()), ConfigError);
}

TEST(TokenizerFiles, SideFilesAddTokensToATokenizerJson) {
  TempDir folder;
  testing::small_tokenizer().save(folder.path());
  write_file(folder.path("tokenizer_config.json"), R"({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|end|>",
      "added_tokens_decoder": {"640": {"content": "<|end|>", "special": true},
                               "641": {"content": "<x>", "special": false, "rstrip": true}}})");
  std::filesystem::remove(folder.path("special_tokens_map.json"));
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.eos_id(), 640);
  EXPECT_EQ(tokenizer.encode("<x>  <x><|end|>", true), (std::vector<int32_t>{641, 641, 640}));
  EXPECT_EQ(tokenizer.encode("<x> "), (std::vector<int32_t>{641}));
}

}  // namespace
}  // namespace trireme
