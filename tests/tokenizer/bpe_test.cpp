#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "tokenizer/train.h"

namespace trireme {
namespace {

using Ids = std::vector<int32_t>;

/// The definition: apply the leftmost of the lowest-ranked pairs until none is left.
Ids merge_by_definition(const TokenizerSpec& spec, std::string_view piece) {
  Ids ids;
  for (const char byte : piece) {
    for (int32_t id = 0; id < 256; ++id) {
      if (spec.tokens[static_cast<size_t>(id)] == std::string(1, byte)) ids.push_back(id);
    }
  }
  for (size_t rank = 0; rank < spec.merges.size();) {
    const Merge& merge = spec.merges[rank++];
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      if (ids[i] != merge.left || ids[i + 1] != merge.right) continue;
      ids[i] = merge.product;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      rank = 0;
      break;
    }
  }
  return ids;
}

std::string random_word(std::mt19937& random, size_t size) {
  std::string word;
  while (word.size() < size) word += static_cast<char>('a' + random() % 3);
  return word;
}

/// Merges of random words over three letters: nearly every pair has one.
Tokenizer dense_tokenizer() {
  std::mt19937 random(2);
  BpeTrainer trainer({.vocab_size = 330, .special_tokens = {}});
  for (int i = 0; i < 200; ++i) trainer.add(random_word(random, 50));
  return std::move(trainer).train();
}

TEST(Bpe, MatchesTheDefinitionOnShortAndLongPieces) {
  const Tokenizer tokenizer = dense_tokenizer();
  std::mt19937 random(3);
  ModelScratch scratch;
  for (size_t size = 1; size < 300; size += 1 + size / 8) {
    for (int i = 0; i < 4; ++i) {
      const std::string piece = random_word(random, size);
      Ids ids;
      tokenizer.apply_model(ids, piece, scratch);
      ASSERT_EQ(ids, merge_by_definition(tokenizer.spec(), piece)) << piece;
    }
  }
}

TEST(Bpe, MatchesTheDefinitionWhereTokensEndWithinCharacters) {
  // Few characters with common first and last bytes, so that merges cross their borders in all ways.
  const std::vector<std::string> characters = {"\u4E2D", "\u4E2E", "\u4F2D", "\u9F8D",    "\u00E9",
                                               "\u00C9", " ",      "a",      "\U0001F642"};
  std::mt19937 random(12);
  const auto draw = [&](size_t size) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += characters[random() % characters.size()];
    return text;
  };
  for (int round = 0; round < 6; ++round) {
    TokenizerSpec spec;
    for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
    while (spec.merges.size() < 120) {  // random pairs of neighbours within random text
      const std::string text = draw(6);
      const Ids ids = merge_by_definition(spec, text);
      if (ids.size() < 2) continue;
      const size_t at = random() % (ids.size() - 1);
      const auto product = static_cast<int32_t>(spec.tokens.size());
      spec.tokens.push_back(spec.tokens[static_cast<size_t>(ids[at])] + spec.tokens[static_cast<size_t>(ids[at + 1])]);
      spec.merges.push_back({ids[at], ids[at + 1], product});
    }
    if (round % 2 == 1) std::shuffle(spec.merges.begin(), spec.merges.end(), random);  // parts may come last
    const Bpe bpe(spec);
    BpeScratch scratch;
    for (int i = 0; i < 400; ++i) {
      std::string piece = draw(1 + random() % 12);
      if (i % 10 == 0) piece.erase(random() % piece.size(), 1);  // not UTF-8
      if (piece.empty()) continue;
      Ids ids;
      bpe.apply(ids, piece, scratch);
      ASSERT_EQ(ids, merge_by_definition(spec, piece)) << piece;
    }
  }
}

TEST(Bpe, RanksDecideNotIds) {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
  spec.tokens.insert(spec.tokens.end(), {"ab", "bc"});
  spec.merges = {{'b', 'c', 257}, {'a', 'b', 256}};
  EXPECT_EQ(Tokenizer(spec).encode("abc"), (Ids{'a', 257}));
  std::swap(spec.merges[0], spec.merges[1]);
  EXPECT_EQ(Tokenizer(spec).encode("abc"), (Ids{256, 'c'}));
}

TEST(Bpe, AMegabyteOfOneLetterIsNotQuadratic) {
  const Tokenizer tokenizer = dense_tokenizer();
  const std::string text(1'000'000, 'a');
  const auto begin = std::chrono::steady_clock::now();
  const Ids ids = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));  // quadratic: over ten minutes
}

}  // namespace
}  // namespace trireme
