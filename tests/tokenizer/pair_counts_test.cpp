#include "tokenizer/pair_counts.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <string>

#include "base/error.h"
#include "tokenizer/symbol_text.h"

namespace trireme {
namespace {

std::array<int32_t, 256> plain_ids() {
  std::array<int32_t, 256> ids;
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

struct Words {
  uint32_t seed = 1, letters = 4;
  int count = 400;
};

/// Words of 1 to 30 letters, some of them often.
PieceCounts random_pieces(const Words& words) {
  std::mt19937 random(words.seed);
  PieceCounts pieces;
  for (int i = 0; i < words.count; ++i) {
    std::string word;
    for (size_t n = 1 + random() % 30; n > 0; --n) word += static_cast<char>('a' + random() % words.letters);
    for (size_t n = 1 + random() % 4; n > 0; --n) pieces.add(word);
  }
  return pieces;
}

struct Merged {
  std::vector<SymbolPair> pairs;
  int64_t rounds = 0;
};

Merged merge_all(const Words& words, size_t max_places, int64_t min_count, int64_t max_characters = 0) {
  SymbolText text(random_pieces(words), plain_ids());
  LengthLimit limit(max_characters);
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) limit.add(tokens.emplace_back(1, static_cast<char>(byte)));
  PairCounts counts(text, limit, min_count, max_places);
  Merged merged;
  while (merged.pairs.size() < 500) {
    const std::optional<SymbolPair> pair = counts.best();
    if (!pair) break;
    merged.pairs.push_back(*pair);
    if (merged.pairs.size() % 7 == 3) {
      counts.drop(*pair);
      continue;
    }
    const auto product = static_cast<int32_t>(tokens.size());
    limit.add(tokens.emplace_back(tokens[*pair >> 32] + tokens[*pair & UINT32_MAX]));
    counts.merge(*pair, product);
  }
  merged.rounds = counts.rounds();
  return merged;
}

TEST(PairCounts, MergesAreTheSameHoweverFewPlacesAreKept) {
  for (const uint32_t seed : {1U, 2U, 3U}) {
    for (const auto& [min_count, characters] : {std::pair(1, 0), std::pair(5, 0), std::pair(2, 3)}) {
      const Merged whole = merge_all({seed}, 1 << 20, min_count, characters);
      EXPECT_EQ(whole.rounds, 1);
      EXPECT_GT(whole.pairs.size(), 40U);
      for (const size_t places : {1, 50, 1000}) {
        const Merged parts = merge_all({seed}, places, min_count, characters);
        EXPECT_EQ(parts.pairs, whole.pairs) << places;
        EXPECT_GT(parts.rounds, 2) << places;
      }
    }
  }
}

TEST(PairCounts, MergesAreTheSameWhereManyRarePairsShareSums) {
  const Words words{4, 256, 5000};
  const Merged whole = merge_all(words, 1 << 24, 2);
  ASSERT_EQ(whole.pairs.size(), 500U);
  EXPECT_EQ(whole.rounds, 1);
  for (const size_t places : {100, 3000, 10000}) {
    const Merged parts = merge_all(words, places, 2);
    EXPECT_EQ(parts.pairs, whole.pairs) << places;
    EXPECT_GT(parts.rounds, 2) << places;
  }
}

TEST(PairCounts, LongerSymbolsThanAllowedAreNotMade) {
  LengthLimit limit(2);
  for (const char* symbol : {"a", "\xE6\x98", "\xA5", "\xE6\x98\xA5", "ab"}) limit.add(symbol);
  EXPECT_TRUE(limit.allows(symbol_pair(0, 0)));
  EXPECT_TRUE(limit.allows(symbol_pair(1, 2)));
  EXPECT_TRUE(limit.allows(symbol_pair(0, 3)));
  EXPECT_TRUE(limit.allows(symbol_pair(4, 2)));  // a byte that goes on is no further character
  EXPECT_FALSE(limit.allows(symbol_pair(4, 0)));
  EXPECT_FALSE(limit.allows(symbol_pair(3, 4)));
}

TEST(SymbolText, JoinsInPlace) {
  PieceCounts pieces;
  pieces.add("abcabc");
  for (int i = 0; i < 3; ++i) pieces.add("x");
  pieces.add(std::string(1000, 'y'));
  SymbolText text(std::move(pieces), plain_ids());
  ASSERT_EQ(text.size(), 1007U);
  EXPECT_TRUE(text.begins_piece(0) && text.begins_piece(6) && text.begins_piece(7) && text.begins_piece(1007));
  EXPECT_FALSE(text.begins_piece(3));
  EXPECT_EQ(text.count(5), 1U);
  EXPECT_EQ(text.count(6), 3U);
  EXPECT_EQ(text.count(1006), 1U);
  text.join(0, 1, 2, 300);
  EXPECT_EQ(text.symbol(0, text.next(0)), 300);
  EXPECT_EQ(text.previous(2), 0U);
  text.join(0, 2, 3, 0xABCDEF);
  EXPECT_EQ(text.next(0), 3U);
  EXPECT_EQ(text.symbol(0, 3), 0xABCDEF);
  EXPECT_EQ(text.symbol(3, text.next(3)), 'a');
  for (uint32_t at = 8; at < 900; ++at) text.join(7, at, at + 1, static_cast<int32_t>(1000 + at));
  EXPECT_EQ(text.next(7), 900U);
  EXPECT_EQ(text.previous(900), 7U);
  EXPECT_EQ(text.symbol(7, 900), 1899);
}

TEST(PieceCounts, CountsWhatItIsGiven) {
  std::mt19937 random(9);
  std::map<std::string, uint64_t> expected;
  PieceCounts pieces;
  for (int i = 0; i < 50000; ++i) {
    const std::string piece = cat("p", random() % 9000, random() % 3 == 0 ? "春眠不覺曉處處聞啼鳥" : "");
    ++expected[piece];
    pieces.add(piece);
  }
  ASSERT_EQ(pieces.size(), expected.size());
  for (uint32_t i = 0; i < pieces.size(); ++i) {
    const std::string piece(pieces.bytes().data() + pieces.begin(i), pieces.begin(i + 1) - pieces.begin(i));
    EXPECT_EQ(pieces.count(i), expected.at(piece)) << piece;
  }
}

}  // namespace
}  // namespace trireme
