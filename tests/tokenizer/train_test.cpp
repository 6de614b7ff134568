#include "tokenizer/train.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

Tokenizer train(const std::vector<std::string_view>& texts, const TrainOptions& options) {
  return train_bpe(texts, options);
}

TEST(BpeTrainer, MakesTheVocabularyOfHuggingFacesTrainer) {
  const std::string corpus = read_file(testing::golden_path("corpus.txt"));
  const Tokenizer ours = train({corpus}, {.vocab_size = 640, .min_frequency = 1});
  const Tokenizer theirs = testing::small_tokenizer();
  EXPECT_EQ(ours.spec().tokens, theirs.spec().tokens);
  EXPECT_EQ(ours.fingerprint(), theirs.fingerprint());
  EXPECT_EQ(ours.eos_id(), 639);
}

TEST(BpeTrainer, DoesNotDependOnTheOrderOfTexts) {
  const std::string corpus = read_file(testing::golden_path("corpus.txt"));
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < corpus.size();) {
    const size_t end = std::min(corpus.find('\n', begin), corpus.size());
    lines.push_back(std::string_view(corpus).substr(begin, end - begin));
    begin = end + 1;
  }
  const Tokenizer forward = train(lines, {.vocab_size = 400});
  std::reverse(lines.begin(), lines.end());
  EXPECT_EQ(train(lines, {.vocab_size = 400}).fingerprint(), forward.fingerprint());
  EXPECT_EQ(forward.vocab_size(), 400);
}

TEST(BpeTrainer, PartsOfADocumentGiveWhatTheWholeGives) {
  std::mt19937 random(5);
  const std::vector<std::string> words = {"we", "'ll", "'",    " ",    "  \n", "\u3000",
                                          "12", "!?",  "\xE6", "春眠", " day", "\r\n"};
  for (int round = 0; round < 30; ++round) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += words[random() % words.size()];
    if (round % 10 == 0) text += std::string(300, 'a') + " b";  // a piece over many parts
    const TrainOptions options{.vocab_size = 340, .min_frequency = 1};
    BpeTrainer trainer(options);
    for (size_t begin = 0, size = 0; begin < text.size(); begin += size) {
      size = 1 + random() % 60;
      trainer.add(std::string_view(text).substr(begin, size), begin + size >= text.size());
    }
    EXPECT_EQ(std::move(trainer).train().fingerprint(), train({text}, options).fingerprint()) << round;
  }
}

TEST(BpeTrainer, MakesNoTokenLongerThanAsked) {
  const std::string text = "春眠不觉晓春眠不觉晓春眠不觉晓处处闻啼鸟处处闻啼鸟";
  const Tokenizer one = train({text}, {.vocab_size = 300, .min_frequency = 1, .max_token_length = 1});
  for (int32_t id = 0; id < one.vocab_size() - 1; ++id) EXPECT_LE(one.token(id).size(), 3U);
  EXPECT_EQ(one.encode("春眠不觉晓").size(), 5U);
  EXPECT_LT(train({text}, {.vocab_size = 300, .min_frequency = 1}).encode("春眠不觉晓").size(), 5U);
}

TEST(BpeTrainer, MergesTheMostFrequentPairThenTheSmallest) {
  const Tokenizer tokenizer =
      train({"ab", "ab", "ab", "cd", "cd", "ce", "ce"}, {.vocab_size = 259, .special_tokens = {}});
  EXPECT_EQ(tokenizer.token(256), "ab");
  EXPECT_EQ(tokenizer.token(257), "cd");  // as often as "ce"
  EXPECT_EQ(tokenizer.token(258), "ce");
}

TEST(BpeTrainer, StopsWhereTheCorpusHasNoMorePairs) {
  int64_t done = 0, wanted = 0;
  TrainOptions options{.vocab_size = 1000, .progress = [&](int64_t d, int64_t w) { done = d, wanted = w; }};
  const Tokenizer tokenizer = train({"aaaa", "aaaa", "once"}, options);
  EXPECT_EQ(tokenizer.vocab_size(), 256 + 2 + 1);  // aa, aaaa, <|endoftext|>
  EXPECT_EQ(done, 2);
  EXPECT_EQ(wanted, 1000 - 1 - 256);
  EXPECT_EQ(train({}, {.vocab_size = 300}).vocab_size(), 257);
}

TEST(BpeTrainer, MinFrequencyDropsRarePairs) {
  const std::vector<std::string_view> texts = {"ab", "ab", "cd"};
  EXPECT_EQ(train(texts, {.vocab_size = 300, .min_frequency = 1}).vocab_size(), 259);
  EXPECT_EQ(train(texts, {.vocab_size = 300, .min_frequency = 2}).vocab_size(), 258);
  EXPECT_EQ(train(texts, {.vocab_size = 300, .min_frequency = 3}).vocab_size(), 257);
}

TEST(BpeTrainer, NeverMergesIntoASpecialToken) {
  const Tokenizer tokenizer = train({"END", "END", "END"}, {.vocab_size = 300, .special_tokens = {"<e>", "END"}});
  const int32_t end = tokenizer.vocab_size() - 1;
  EXPECT_EQ(tokenizer.token(end), "END");
  const std::vector<int32_t> plain = tokenizer.encode("END");
  EXPECT_EQ(std::count(plain.begin(), plain.end(), end), 0);
  EXPECT_EQ(tokenizer.encode("END", true), std::vector<int32_t>{end});
  EXPECT_EQ(tokenizer.token(tokenizer.eos_id().value()), "<e>");
}

/// The definition: count all pairs anew for each merge.
std::vector<std::string> merges_by_definition(std::vector<std::vector<std::string>> words, size_t num_merges) {
  std::vector<std::string> products;
  std::map<std::string, int> id;
  for (const uint8_t byte : alphabet_order()) {
    id.emplace(std::string(1, static_cast<char>(byte)), static_cast<int>(id.size()));
  }
  while (products.size() < num_merges) {
    std::map<std::pair<int, int>, int> counts;
    std::map<std::pair<int, int>, std::pair<std::string, std::string>> parts;
    for (const auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        const std::pair<int, int> pair{id.at(word[i]), id.at(word[i + 1])};
        ++counts[pair];
        parts[pair] = {word[i], word[i + 1]};
      }
    }
    const auto best = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
      return a.second < b.second;  // the first, so the smallest pair, of equals
    });
    const auto [left, right] = parts.at(best->first);
    products.push_back(left + right);
    id.emplace(left + right, static_cast<int>(id.size()));
    for (auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != left || word[i + 1] != right) continue;
        word[i] += word[i + 1];
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return products;
}

TEST(BpeTrainer, MatchesTheDefinitionWherePairsOverlap) {
  constexpr size_t kMerges = 60;
  std::mt19937 random(6);
  for (int round = 0; round < 5; ++round) {
    std::vector<std::string> texts;
    std::vector<std::vector<std::string>> words;
    for (int i = 0; i < 60; ++i) {
      std::string& text = texts.emplace_back();
      for (size_t n = 1 + random() % 40; n > 0; --n) text += "aab"[random() % 3];
      words.emplace_back();
      for (const char c : text) words.back().emplace_back(1, c);
    }
    const Tokenizer tokenizer =
        train({texts.begin(), texts.end()}, {.vocab_size = 256 + kMerges, .min_frequency = 1, .special_tokens = {}});
    const std::vector<std::string>& tokens = tokenizer.spec().tokens;
    EXPECT_EQ(std::vector<std::string>(tokens.begin() + 256, tokens.end()), merges_by_definition(words, kMerges));
  }
}

TEST(BpeTrainer, RefusesImpossibleOptions) {
  EXPECT_THROW(BpeTrainer({.vocab_size = 256}), ConfigError);
  EXPECT_NO_THROW(BpeTrainer({.vocab_size = 257}));
  for (const char* token : {"", "x", "\xFF\xFF"}) {
    EXPECT_THROW(BpeTrainer({.special_tokens = {token}}), ConfigError) << token;
  }
  EXPECT_THROW(BpeTrainer({.special_tokens = {"<s>", "<s>"}}), ConfigError);
}

}  // namespace
}  // namespace trireme
