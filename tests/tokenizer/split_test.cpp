#include "tokenizer/split.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces(std::string_view text) {
  const Gpt2Split split;
  Pieces out;
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const char* next = split.next(p, end);
    out.emplace_back(p, next);
    p = next;
  }
  return out;
}

TEST(Split, WordsNumbersAndSignsTakeOneLeadingSpace) {
  EXPECT_EQ(pieces("Hello world, 42 !? x1"), (Pieces{"Hello", " world", ",", " 42", " !?", " x", "1"}));
}

TEST(Split, ContractionsAreLowerCaseAscii) {
  EXPECT_EQ(pieces("it's we'll they've I'd"), (Pieces{"it", "'s", " we", "'ll", " they", "'ve", " I", "'d"}));
  EXPECT_EQ(pieces("you're I'm don't"), (Pieces{"you", "'re", " I", "'m", " don", "'t"}));
  EXPECT_EQ(pieces("IT'S"), (Pieces{"IT", "'", "S"}));
  EXPECT_EQ(pieces("it'\u017F"), (Pieces{"it", "'", "\u017F"}));  // the long s folds to s; this pattern does not fold
  EXPECT_EQ(pieces("it'l 'r"), (Pieces{"it", "'", "l", " '", "r"}));
  EXPECT_EQ(pieces("'stop"), (Pieces{"'s", "top"}));
  EXPECT_EQ(pieces("''s"), (Pieces{"''", "s"}));
  EXPECT_EQ(pieces(" 's"), (Pieces{" '", "s"}));
  EXPECT_EQ(pieces("'"), (Pieces{"'"}));
}

TEST(Split, TheLastSpaceOfARunGoesToTheNextPiece) {
  EXPECT_EQ(pieces("a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(pieces("a\n\nb"), (Pieces{"a", "\n", "\n", "b"}));
  EXPECT_EQ(pieces("a\n b"), (Pieces{"a", "\n", " b"}));
  EXPECT_EQ(pieces("a \nb"), (Pieces{"a", " ", "\n", "b"}));
  EXPECT_EQ(pieces("a \t"), (Pieces{"a", " \t"}));
  EXPECT_EQ(pieces("a "), (Pieces{"a", " "}));
  EXPECT_EQ(pieces("  "), (Pieces{"  "}));
}

TEST(Split, WhiteSpaceIsUnicodes) {
  EXPECT_EQ(pieces("a\u00A0b"), (Pieces{"a", "\u00A0", "b"}));
  EXPECT_EQ(pieces("\u3000\u3000\u6625"), (Pieces{"\u3000", "\u3000", "\u6625"}));
  EXPECT_EQ(pieces("a\u0085\u2003 b"), (Pieces{"a", "\u0085\u2003", " b"}));
  EXPECT_EQ(pieces("a\u180Eb"), (Pieces{"a", "\u180E", "b"}));  // not white space: a sign
  EXPECT_EQ(pieces("a \u180E\x1C"), (Pieces{"a", " \u180E\x1C"}));
}

TEST(Split, StrayBytesAreSigns) {
  EXPECT_EQ(pieces("a\xFF\x80z"), (Pieces{"a", "\xFF\x80", "z"}));
  EXPECT_EQ(pieces("\xE6\x98"), (Pieces{"\xE6\x98"}));                // cut
  EXPECT_EQ(pieces("x \xC0\xA0y"), (Pieces{"x", " \xC0\xA0", "y"}));  // overlong space
  EXPECT_EQ(pieces("\xED\xA0\x80"
                   "a"),
            (Pieces{"\xED\xA0\x80", "a"}));  // surrogate
  EXPECT_EQ(pieces("\xF4\x90\x80\x80"
                   "a"),
            (Pieces{"\xF4\x90\x80\x80", "a"}));
  EXPECT_EQ(pieces("\xE6\x98\xE6\x98\x8E"), (Pieces{"\xE6\x98", "\u660E"}));
}

TEST(Split, PiecesJoinToTheText) {
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const std::string text = testing::random_bytes(random, random() % 100);
    std::string joined;
    for (const std::string& piece : pieces(text)) joined += piece;
    EXPECT_EQ(joined, text);
  }
}

TEST(ClassTable, HasTheCountsOfUnicode16) {
  int64_t counts[4] = {};
  for (uint32_t c = 0; c < 0x110000; ++c) ++counts[static_cast<size_t>(class_table().of(c))];
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::letter)], 141028);
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::number)], 1911);
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::space)], 25);
}

TEST(ClassTable, KnowsTheNewestLetters) {
  EXPECT_EQ(class_table().of(0x1C89), CharClass::letter);   // Unicode 16
  EXPECT_EQ(class_table().of(0x323AF), CharClass::letter);  // the end of CJK Extension H, Unicode 15
  EXPECT_EQ(class_table().of(0x323B0), CharClass::other);
  EXPECT_EQ(class_table().of(0x10FFFF), CharClass::other);
}

}  // namespace
}  // namespace trireme
