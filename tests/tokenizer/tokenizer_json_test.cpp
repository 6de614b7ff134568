// Every component of tokenizer.json against Hugging Face's tokenizers (tests/golden/tokenizer/make_zoo.py), and what is
// refused.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "tokenizer/golden_kind.h"
#include "tokenizer/read.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

using testing::compare_kind;
using testing::golden_path;
using testing::Ids;
using testing::streamed;

const Json& zoo() {
  static const Json json = read_json(golden_path("zoo.json"));
  return json;
}

Json zoo_root(const Json& entry) {
  Json root = entry.at("tokenizer");
  if (root["model"]["vocab"].is_null()) {
    for (const char* key : {"vocab", "merges"}) root["model"][key] = zoo().at("byte_level").at(key);
  }
  return root;
}

Json root_of_kind(std::string_view name) { return zoo_root(testing::entry_of(zoo(), name)); }

TEST(TokenizerJson, EveryKindGivesTheIdsOfHuggingFace) {
  size_t cases = 0;
  for (const Json& entry : zoo().at("tokenizers").items()) cases += compare_kind(entry, zoo_root(entry));
  EXPECT_GT(cases, 1000U);
}

TEST(TokenizerJson, UnigramModelsGiveTheIdsOfHuggingFace) {
  size_t cases = 0;
  const Json golden = read_json(golden_path("unigram.json"));
  for (const Json& entry : golden.at("tokenizers").items()) cases += compare_kind(entry, entry.at("tokenizer"));
  EXPECT_GT(cases, 700U);
}

TEST(TokenizerJson, NoTextBreaksAnyKind) {
  std::mt19937 random(8);
  for (const Json& entry : zoo().at("tokenizers").items()) {
    SCOPED_TRACE(entry.at("name").as_string());
    const Json root = zoo_root(entry);
    const Tokenizer tokenizer(make_json_spec(root, {}));
    for (int i = 0; i < 40; ++i) {
      const std::string text = testing::random_bytes(random, random() % 60);
      const Ids ids = tokenizer.encode(text, true);
      EXPECT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids));
    }
  }
}

TEST(TokenizerJson, ByteLevelKindsWithoutRewritingKeepEveryByte) {
  std::mt19937 random(9);
  for (const char* name : {"gpt2", "llama3", "cl100k", "o200k", "three regexes", "removed inverted"}) {
    const Json root = root_of_kind(name);
    const Tokenizer tokenizer(make_json_spec(root, {}));
    for (int i = 0; i < 40; ++i) {
      const std::string text = testing::random_bytes(random, random() % 200);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << name;
    }
  }
}

TEST(TokenizerJson, ByteFallbackKeepsBytesThatAreNotUtf8) {
  const Json root = root_of_kind("llama 2");
  const Tokenizer tokenizer(make_json_spec(root, {}));
  for (const char* text : {"caf\xC3", "\xFF\xFE", "a\xE6\x98 b", "\xED\xA0\x80"}) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(TokenizerJson, KnowsTheTokensOfQwen3) {
  if (!testing::has_shared("tokenizers/qwen3")) GTEST_SKIP() << "needs ../shared/tokenizers/qwen3";
  const Tokenizer tokenizer = Tokenizer::load(testing::shared_path("tokenizers/qwen3"));
  EXPECT_EQ(tokenizer.vocab_size(), 151669);
  EXPECT_EQ(tokenizer.eos_id(), 151645);
  EXPECT_EQ(tokenizer.encode("<|endoftext|>", true), (Ids{151643}));
  EXPECT_EQ(tokenizer.encode("<|im_start|>", true), (Ids{151644}));
  EXPECT_EQ(tokenizer.encode("<think>"), (Ids{151667}));  // added, but not special
}

/// The error that a changed tokenizer.json gives, or "".
std::string error_of(std::string_view kind, const std::function<void(Json&)>& change) {
  Json root = root_of_kind(kind);
  change(root);
  try {
    Tokenizer(make_json_spec(Json::parse(root.dump(1), "tokenizer.json"), {}));
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

::testing::AssertionResult says(const std::string& error, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (error.find(part) == std::string::npos)
      return ::testing::AssertionFailure() << "'" << part << "' is not in: " << error;
  }
  return ::testing::AssertionSuccess();
}

Json of_type(const char* type) {
  Json json = Json::object();
  json["type"] = type;
  return json;
}

TEST(TokenizerJson, UnknownComponentsNamePathAndWhatIsSupported) {
  EXPECT_EQ(error_of("llama3", [](Json&) {}), "");
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["normalizer"] = of_type("Odd"); }),
                   {"line ", "normalizer.type", "'Odd'", "NFKC", "Nmt", "Sequence"}));
  EXPECT_TRUE(
      says(error_of("llama3", [](Json& j) { j["pre_tokenizer"]["pretokenizers"].items()[0]["type"] = "Magic"; }),
           {"pre_tokenizer.pretokenizers[0].type", "'Magic'", "Metaspace"}));
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["post_processor"] = of_type("Odd"); }), {"post_processor.type"}));
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["decoder"] = of_type("Odd"); }), {"decoder.type", "WordPiece"}));
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["decoder"] = of_type("WordPiece"); }), {"decoder", "'prefix'"}));
  EXPECT_TRUE(
      says(error_of("llama 2", [](Json& j) { j["decoder"] = of_type("CTC"); }), {"decoder", "'word_delimiter_token'"}));
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["model"]["type"] = "WordPiece"; }),
                   {"line ", "model.type", "'WordPiece'", "supported are BPE, Unigram"}));
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["model"]["dropout"] = 0.1; }), {"model.dropout", "random"}));
  EXPECT_EQ(error_of("llama3", [](Json& j) { j["model"]["dropout"] = 0.0; }), "");
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["model"]["end_of_word_suffix"] = std::string(300, 'x'); }),
                   {"end_of_word_suffix", "300"}));
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j["model"]["unk_token"] = "<none>"; }), {"model.unk_token"}));
  EXPECT_TRUE(says(error_of("llama3", [](Json& j) { j.erase("model"); }), {"model"}));
}

TEST(TokenizerJson, PatternsAreChecked) {
  const auto with = [](const char* pattern) {
    return error_of("llama3",
                    [&](Json& j) { j["pre_tokenizer"]["pretokenizers"].items()[0]["pattern"]["Regex"] = pattern; });
  };
  EXPECT_EQ(with(R"([^\s]]+|\p{L}{1,2}+)"), "");
  EXPECT_TRUE(says(with("a(b"), {"pattern 'a(b'", "character 3"}));
  EXPECT_TRUE(says(with("[a[b]]"), {"character 2", "classes within classes"}));
  EXPECT_TRUE(says(with(R"(\Ga)"), {R"(\Ga)", "character 0", "escape is not supported"}));
}

TEST(TokenizerJson, BrokenVocabulariesNamePathAndToken) {
  const auto vocab = [](const std::function<void(Json&)>& damage) {
    return error_of("llama3", [&](Json& j) { damage(j["model"]["vocab"]); });
  };
  EXPECT_TRUE(says(vocab([](Json& v) { v["zz"] = 7; }), {"model.vocab", "'zz'", "the id 7 of"}));
  EXPECT_TRUE(says(vocab([](Json& v) { v["zz"] = -7; }), {"model.vocab", "'zz'", "-7"}));
  EXPECT_TRUE(says(vocab([](Json& v) { v["zz"] = int64_t{1} << 40; }), {"model.vocab", "'zz'", "1048575"}));
  EXPECT_TRUE(says(vocab([](Json& v) { v["zz"] = "x"; }), {"model.vocab", "zz", "string"}));
  EXPECT_TRUE(says(vocab([](Json& v) { v[""] = 500; }), {"model.vocab", "empty"}));
  EXPECT_TRUE(says(vocab([](Json& v) { v = Json::array(); }), {"model.vocab", "a list", "a mapping"}));
  EXPECT_EQ(vocab([](Json& v) { v["zz"] = 1000; }), "");  // a hole
  const auto merge = [](Json added) {
    return error_of("llama3", [&](Json& j) { j["model"]["merges"].push_back(added); });
  };
  EXPECT_TRUE(says(merge("lonely"), {"model.merges[", "lonely"}));
  EXPECT_TRUE(says(merge("q q"), {"model.merges[", "result", "'qq'"}));
  EXPECT_TRUE(says(merge(" q"), {"model.merges[", "left"}));
  EXPECT_TRUE(says(merge("t h"), {"model.merges[", "second time"}));
  EXPECT_TRUE(says(merge(3), {"model.merges["}));
}

TEST(TokenizerJson, AddedTokensAreChecked) {
  const auto added = [](const char* key, Json value) {
    return error_of("llama3", [&](Json& j) { j["added_tokens"].items()[0][key] = value; });
  };
  EXPECT_TRUE(says(added("id", 3), {"'<s>'", "the id 3 of"}));
  EXPECT_TRUE(says(added("id", -1), {"'<s>'", "-1"}));
  EXPECT_TRUE(says(added("id", int64_t{1} << 30), {"'<s>'", "1073741824"}));
  EXPECT_TRUE(says(added("content", 3), {"added_tokens[0].content", "string"}));
  EXPECT_EQ(added("content", ""), "");  // left out
}

}  // namespace
}  // namespace trireme
