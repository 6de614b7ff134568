#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

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
      if (spec.tokens[static_cast<size_t>(id)][0] == byte) ids.push_back(id);
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
  return trainer.train();
}

TEST(Bpe, MatchesTheDefinitionOnShortAndLongPieces) {
  const Tokenizer tokenizer = dense_tokenizer();
  std::mt19937 random(3);
  BpeScratch scratch;
  for (size_t size = 1; size < 300; size += 1 + size / 8) {
    for (int i = 0; i < 4; ++i) {
      const std::string piece = random_word(random, size);
      Ids ids;
      tokenizer.bpe().apply(ids, piece, scratch);
      ASSERT_EQ(ids, merge_by_definition(tokenizer.spec(), piece)) << piece;
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
