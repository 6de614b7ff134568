#include "base/regex.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace trireme {
namespace {

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern);
  RegexScratch scratch;
  std::vector<std::string> out;
  for (size_t from = 0; from <= text.size();) {
    const auto match = regex.find(text, from, scratch);
    if (!match) break;
    out.push_back(text.substr(match->begin, match->end - match->begin));
    from = next_search(text, *match);
  }
  return out;
}

using Words = std::vector<std::string>;

TEST(Regex, FindsFromLeftToRight) {
  EXPECT_EQ(matches(R"(\p{L}+|\p{N}{1,2})", "ab 123 \u6625\u7720"), (Words{"ab", "12", "3", "\u6625\u7720"}));
  EXPECT_EQ(matches(R"((?<=a)b|c(?!d))", "ab cd cc"), (Words{"b", "c", "c"}));
  EXPECT_EQ(matches("x*", "ax\u6625"), (Words{"", "x", "", ""}));
}

TEST(Regex, WhiteSpaceIsUnicodes) {
  EXPECT_EQ(matches(R"(\s)", "\u180E\u0085\u3000\x1C ").size(), 3U);
  EXPECT_EQ(matches(R"([^\s]+)", "a\u180E b"), (Words{"a\u180E", "b"}));
  EXPECT_EQ(matches(R"(\S+)", "a\u180E b"), (Words{"a\u180E", "b"}));
}

TEST(Regex, AnIntervalIsRepeatedByAPlus) {
  EXPECT_EQ(matches(R"(\d{1,2}+)", "12345"), (Words{"12345"}));  // Oniguruma's reading, not Perl's
  EXPECT_EQ(matches(R"(a{2}?b)", "b aab"), (Words{"b", "aab"}));
  EXPECT_EQ(matches(R"(\x{61}+)", "aa"), (Words{"aa"}));
}

TEST(Regex, BytesThatAreNotUtf8MatchNothing) {
  EXPECT_EQ(matches(".+", "ab\xFF\xE6\x98zz"), (Words{"ab", "zz"}));
  EXPECT_EQ(matches("[^a]", "\x80\xC3"), Words{});
}

TEST(Regex, MalformedPatternsNameTheCharacter) {
  for (const char* pattern : {"(", "[a", "a**b(", R"(\p{Nonsense})", R"(\C)", "[[:"}) {
    EXPECT_THROW(Regex{pattern}, ConfigError) << pattern;
  }
  EXPECT_THROW(Regex(std::string(100'000, 'a')), ConfigError);
}

TEST(Regex, AnExplodingPatternEndsInAnError) {
  const Regex regex("(a+)+(a+)+(a+)+[bc]");
  RegexScratch scratch;
  EXPECT_THROW(regex.find(std::string(5000, 'a'), 0, scratch), IoError);
}

TEST(Regex, IsSharedAndMoved) {
  Regex regex("b+");
  const Regex moved = std::move(regex);
  RegexScratch one, two;
  EXPECT_EQ(moved.find("abb", 0, one)->end, 3U);
  EXPECT_EQ(moved.find("b", 0, two)->end, 1U);
  EXPECT_FALSE(moved.find("a", 0, one));
}

/// tests/golden/tokenizer/make_patterns.py; `tokenizers` leaves out empty matches.
TEST(Regex, MatchesWhatOnigurumaDoesOrIsRefused) {
  const Json golden = read_json(std::string(TRIREME_SOURCE_DIR) + "/tests/golden/tokenizer/patterns.json");
  for (const Json& entry : golden.at("patterns").items()) {
    const std::string& pattern = entry.at("pattern").as_string();
    for (size_t k = 0; k < golden.at("texts").items().size(); ++k) {
      Words expected;
      for (const Json& match : entry.at("matches").items()[k].items()) expected.push_back(match.as_string());
      Words found = matches(pattern, golden.at("texts").items()[k].as_string());
      found.erase(std::remove(found.begin(), found.end(), ""), found.end());
      EXPECT_EQ(found, expected) << pattern << " in text " << k;
    }
  }
  for (const Json& pattern : golden.at("refused").items()) {
    EXPECT_THROW(Regex(pattern.as_string()), ConfigError) << pattern.as_string();
  }
}

}  // namespace
}  // namespace trireme
