#include "tokenizer/split.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

using Pieces = std::vector<std::string>;

template <class Split = Gpt2Split>
Pieces pieces(std::string_view text) {
  const Split split;
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

TEST(Split, AllFivePatternsCutAsTheirEnginesDo) {
  const Json golden = read_json(testing::golden_path("splits.json"));
  ASSERT_EQ(golden.size(), 5U);
  for (const auto& [name, cases] : golden.members()) {
    SCOPED_TRACE(name);
    size_t found = 0;
    for (const SplitPattern pattern :
         {SplitPattern::gpt2, SplitPattern::llama3, SplitPattern::cl100k, SplitPattern::qwen2, SplitPattern::o200k}) {
      if (name != split_name(pattern)) continue;
      for (const Json& entry : cases.items()) {
        const std::string& text = entry.at("text").as_string();
        std::vector<int64_t> ends, expected;
        for (const Json& end : entry.at("ends").items()) expected.push_back(end.as_integer());
        with_split(pattern, [&](const auto& split) {
          const char *begin = text.data(), *end = begin + text.size();
          for (const char* p = begin; p < end; ends.push_back(p - begin)) p = split.next(p, end);
        });
        EXPECT_EQ(ends, expected) << text;
        ++found;
      }
    }
    EXPECT_GT(found, 100U);
  }
}

TEST(Split, O200kCutsWordsByCase) {
  const auto cut = pieces<O200kSplit>;
  EXPECT_EQ(cut("camelCaseHTTPServer"), (Pieces{"camel", "Case", "HTTPServer"}));
  EXPECT_EQ(cut("McDonald's IT'S"), (Pieces{"Mc", "Donald's", " IT'S"}));
  EXPECT_EQ(cut("\u4E2DAB"), (Pieces{"\u4E2D", "AB"}));  // backtracking: the capitals are given back
  EXPECT_EQ(cut("\u0301AB"), (Pieces{"\u0301", "AB"}));  // a mark is a word before it is a sign
  EXPECT_EQ(cut("\u0301Ab"), (Pieces{"\u0301Ab"}));
  EXPECT_EQ(cut("//\n/a"), (Pieces{"//\n/", "a"}));
}

TEST(Split, WhiteSpaceAtTheEndTellsLlama3FromCl100k) {
  EXPECT_EQ(pieces<Llama3Split>("a\n  "), (Pieces{"a", "\n", "  "}));
  EXPECT_EQ(pieces<Cl100kSplit>("a\n  "), (Pieces{"a", "\n  "}));
  EXPECT_EQ(pieces<Llama3Split>("12345"), (Pieces{"123", "45"}));
  EXPECT_EQ(pieces<Qwen2Split>("123"), (Pieces{"1", "2", "3"}));
}

TEST(Split, EveryScannerKeepsAnyBytes) {
  std::mt19937 random(6);
  for (int i = 0; i < 500; ++i) {
    const std::string text = testing::random_bytes(random, random() % 60);
    for (int pattern = 0; pattern < 5; ++pattern) {
      with_split(static_cast<SplitPattern>(pattern), [&](const auto& split) {
        const char* end = text.data() + text.size();
        for (const char* p = text.data(); p < end;) {
          const char* next = split.next(p, end);
          ASSERT_GT(next, p);
          ASSERT_LE(next, end);
          p = next;
        }
      });
    }
  }
}

TEST(Split, PatternsAreKnownByTheirSpelling) {
  EXPECT_EQ(known_split(R"(\p{L}+)", SplitEngine::hugging_face), std::nullopt);
  const char* cl100k =
      R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|)"
      R"(\s+(?!\S)|\s)";
  EXPECT_EQ(known_split(cl100k, SplitEngine::tiktoken), SplitPattern::cl100k);
  EXPECT_EQ(known_split(cl100k, SplitEngine::hugging_face), std::nullopt);  // its {1,3}+ is not possessive
}

TEST(ClassTable, HasTheCountsOfUnicode16) {
  int64_t letters = 0, numbers = 0, spaces = 0, marks = 0;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    const CharClass cls = class_table().of(c);
    letters += (cls & kLetter) != 0;
    numbers += cls == kNumber;
    spaces += (cls & kWhite) != 0;
    marks += cls == kMark;
  }
  EXPECT_EQ(letters, 141028);
  EXPECT_EQ(numbers, 1911);
  EXPECT_EQ(spaces, 25);
  EXPECT_EQ(marks, 2501);
}

TEST(ClassTable, KnowsTheNewestLetters) {
  EXPECT_EQ(class_table().of(0x1C89), kUpper);      // Unicode 16
  EXPECT_EQ(class_table().of(0x323AF), kCaseless);  // the end of CJK Extension H, Unicode 15
  EXPECT_EQ(class_table().of(0x323B0), 0);
  EXPECT_EQ(class_table().of(0x10FFFF), 0);
}

}  // namespace
}  // namespace trireme
