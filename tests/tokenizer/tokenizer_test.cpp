#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "support/shared_data.h"
#include "tokenizer/encoder.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

using testing::golden_path;
using testing::has_shared;
using testing::shared_path;
using testing::small_tokenizer;
using Ids = std::vector<int32_t>;

TEST(Tokenizer, GivesTheIdsOfHuggingFaceAndTiktoken) {
  const Tokenizer tokenizer = small_tokenizer();
  Encoder encoder(tokenizer, 64);  // small: words evict each other
  const Json cases = read_json(golden_path("cases.json"));
  ASSERT_GT(cases.size(), 100U);
  for (const Json& entry : cases.items()) {
    const std::string& text = entry.at("text").as_string();
    Ids expected;
    for (const Json& id : entry.at("ids").items()) expected.push_back(static_cast<int32_t>(id.as_integer()));
    EXPECT_EQ(tokenizer.encode(text), expected) << text;
    for (int repeat = 0; repeat < 2; ++repeat) {  // the second time from the cache
      Ids ids;
      encoder.encode(ids, text);
      EXPECT_EQ(ids, expected) << text;
    }
    EXPECT_EQ(tokenizer.decode(expected), text);
  }
}

TEST(Tokenizer, KnowsTheTokensOfGpt2) {
  if (!has_shared("tokenizers/gpt2")) GTEST_SKIP() << "needs ../shared/tokenizers/gpt2";
  const Tokenizer tokenizer = Tokenizer::load(shared_path("tokenizers/gpt2"));
  EXPECT_EQ(tokenizer.vocab_size(), 50257);
  EXPECT_EQ(tokenizer.eos_id(), 50256);
  EXPECT_EQ(tokenizer.encode("hello world"), (Ids{31373, 995}));
}

TEST(Tokenizer, KeepsAnyBytes) {
  const Tokenizer tokenizer = small_tokenizer();
  std::mt19937 random(4);
  for (size_t size : {1U, 2U, 3U, 15U, 16U, 17U, 100U, 1000U, 100000U}) {
    const std::string text = testing::random_bytes(random, size);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
  for (const char* text : {"\xFF", "caf\xC3", "\xE6\x98", "a\xF0\x9F\x99 b", "\xC0\x80", "\xED\xA0\x80"}) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, CachesWordsByAllTheirBytes) {
  const Tokenizer tokenizer = small_tokenizer();
  Encoder encoder(tokenizer, 2);
  const std::string words[] = {
      "a", std::string("a\0", 2), "the", "oars", "aaaaaaaa", "oarsoarsoarsoar", "oarsoarsoarsoars"};
  for (int repeat = 0; repeat < 3; ++repeat) {
    for (const std::string& word : words) {
      Ids ids;
      encoder.encode(ids, word);
      EXPECT_EQ(tokenizer.decode(ids), word);
      ids.clear();
      encoder.encode(ids, word + " and much more text behind it");
      EXPECT_EQ(tokenizer.decode(ids), word + " and much more text behind it");
    }
  }
}

TEST(Tokenizer, SpecialTokensAreTextUnlessAskedFor) {
  const Tokenizer tokenizer = small_tokenizer();
  const int32_t end = tokenizer.eos_id().value();
  EXPECT_EQ(end, 639);
  EXPECT_TRUE(tokenizer.is_special(end));
  EXPECT_EQ(tokenizer.token(end), "<|endoftext|>");
  const std::string text = "a<|endoftext|><|endoftext|> b<|endoftext";
  const Ids plain = tokenizer.encode(text);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), end), 0);
  Ids expected = tokenizer.encode("a");
  expected.insert(expected.end(), {end, end});
  for (const int32_t id : tokenizer.encode(" b<|endoftext")) expected.push_back(id);
  EXPECT_EQ(tokenizer.encode(text, true), expected);
  EXPECT_EQ(tokenizer.decode(expected), text);
}

TEST(Tokenizer, TheLongestSpecialTokenWins) {
  TokenizerSpec spec = small_tokenizer().spec();
  spec.tokens.insert(spec.tokens.end(), {"<|end", "<|endoftext|>s"});
  spec.special.insert(spec.special.end(), {640, 641});
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("<|endoftext|>s<|endoftext|><|end", true), (Ids{641, 639, 640}));
}

TEST(Tokenizer, RefusesIdsOutsideTheVocabulary) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_THROW(tokenizer.decode(Ids{1, 640}), ConfigError);
  EXPECT_THROW(tokenizer.token(-1), ConfigError);
}

TEST(Tokenizer, FingerprintTellsVocabulariesApart) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.fingerprint(), small_tokenizer().fingerprint());
  TokenizerSpec spec = tokenizer.spec();
  std::swap(spec.merges[10], spec.merges[11]);
  EXPECT_NE(Tokenizer(spec).fingerprint(), tokenizer.fingerprint());
  spec = tokenizer.spec();
  std::swap(spec.tokens[300], spec.tokens[301]);
  EXPECT_NE(Tokenizer(spec).fingerprint(), tokenizer.fingerprint());
  spec = tokenizer.spec();
  spec.special.clear();
  EXPECT_NE(Tokenizer(spec).fingerprint(), tokenizer.fingerprint());
}

TEST(Tokenizer, IsSharedByThreads) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::string text = read_file(golden_path("corpus.txt"));
  const Ids expected = tokenizer.encode(text);
  std::vector<Ids> found(4);
  std::vector<std::thread> threads;
  for (Ids& ids : found) {
    threads.emplace_back([&] {
      Encoder encoder(tokenizer);
      encoder.encode(ids, text);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : found) EXPECT_EQ(ids, expected);
}

}  // namespace
}  // namespace trireme
