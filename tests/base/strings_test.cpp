#include "base/strings.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace trireme {
namespace {

TEST(Strings, SuggestTheNearestName) {
  const std::vector<std::string_view> known = {"hidden_size", "num_layers", "lr"};
  EXPECT_EQ(did_you_mean("hiden_size", known), ", did you mean 'hidden_size'?");
  EXPECT_EQ(did_you_mean("num_layer", known), ", did you mean 'num_layers'?");
  EXPECT_EQ(did_you_mean("momentum", known), ", valid: hidden_size, num_layers, lr");
  EXPECT_EQ(did_you_mean("zz", known), ", valid: hidden_size, num_layers, lr");  // all of 'lr' would change
  EXPECT_EQ(did_you_mean(std::string(1 << 20, 'x'), known), ", valid: hidden_size, num_layers, lr");
  EXPECT_EQ(did_you_mean("x", {}), "");
}

TEST(Strings, SplitAndTrim) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string>{""}));
  EXPECT_EQ(split("a,", ','), (std::vector<std::string>{"a", ""}));
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n "), "");
  EXPECT_TRUE(starts_with("abc", "ab") && ends_with("abc", "bc") && !starts_with("a", "ab") && !ends_with("a", "ba"));
}

TEST(Strings, HumanUnits) {
  EXPECT_EQ(human_bytes(7), "7 B");
  EXPECT_EQ(human_bytes(12 * 1024), "12 KiB");
  EXPECT_EQ(human_bytes(340.0 * 1024 * 1024), "340 MiB");
  EXPECT_EQ(human_bytes(1.5 * 1024 * 1024 * 1024), "1.5 GiB");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_count(950), "950");
  EXPECT_EQ(human_count(45'600), "45.6 k");
  EXPECT_EQ(human_count(1'230'000), "1.23 M");
  EXPECT_EQ(human_count(7.8e9), "7.8 B");
  EXPECT_EQ(human_seconds(1.25), "1.2 s");
  EXPECT_EQ(human_seconds(12), "12 s");
  EXPECT_EQ(human_seconds(59.9), "1m00s");
  EXPECT_EQ(human_seconds(200), "3m20s");
  EXPECT_EQ(human_seconds(3720), "1h02m");
  EXPECT_EQ(human_seconds(INFINITY), "inf s");
}

TEST(Strings, NumbersReadBack) {
  EXPECT_EQ(number(0.1), "0.1");
  EXPECT_EQ(number(1e-5), "1e-05");
  EXPECT_EQ(number(1234.5678, 3), "1.23e+03");
  EXPECT_EQ(number(2.0, 3), "2");
  for (const double value : {1.0 / 3, 1e308, 5e-324, -0.0, 123456789.125}) {
    double back = 1;
    ASSERT_TRUE(parse_real(number(value), back));
    EXPECT_EQ(std::signbit(back), std::signbit(value));
    EXPECT_EQ(back, value);
  }
}

TEST(Strings, ParseWholeNumbersOnly) {
  int64_t i = 42;
  double d = 42;
  for (const char* bad : {"", " 1", "1 ", "1x", "+", "-", "+-1", "++1", "1.0", "9223372036854775808", "0x10"})
    EXPECT_FALSE(parse_integer(bad, i)) << bad;
  for (const char* bad : {"", " 1", "1 ", "1x", "e5", "+-1", "nan", "inf", "1e999", "."})
    EXPECT_FALSE(parse_real(bad, d)) << bad;
  EXPECT_EQ(i, 42);
  EXPECT_EQ(d, 42);
  EXPECT_TRUE(parse_integer("-9223372036854775808", i) && i == INT64_MIN);
  EXPECT_TRUE(parse_integer("+7", i) && i == 7);
  EXPECT_TRUE(parse_real("-6e-4", d) && d == -6e-4);
}

TEST(Utf8, EveryCodePointRoundTrips) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text = "x";
    utf8_append(text, c);
    const int length = utf8_length(text, 1);
    ASSERT_EQ(static_cast<size_t>(length), text.size() - 1) << c;
    ASSERT_EQ(utf8_decode(text, 1), c);
    ASSERT_EQ(utf8_length(std::string_view(text).substr(0, text.size() - 1), 1), 0) << "cut short: " << c;
  }
  std::string out;
  EXPECT_THROW(utf8_append(out, 0x110000), Bug);
}

TEST(Utf8, InvalidBytesAreReplacedAndTheRestKept) {
  EXPECT_EQ(replace_invalid_utf8("a\xE6\x98"
                                 "b\xFF"
                                 "春"),
            "a\xEF\xBF\xBD\xEF\xBF\xBD"
            "b\xEF\xBF\xBD"
            "春");
  EXPECT_EQ(replace_invalid_utf8("春眠"), "春眠");
  EXPECT_EQ(replace_invalid_utf8(""), "");
}

TEST(Utf8, RefusesMalformedSequences) {
  // Unicode 15, table 3-7: continuation first, overlong, surrogate, beyond 10FFFF, wrong continuation.
  for (const char* bad :
       {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC2\x41", "\xE6\x98\x41", "\xF0\x9F\x98\x41"})
    EXPECT_EQ(utf8_length(bad, 0), 0) << testing::PrintToString(std::string(bad));
  EXPECT_EQ(find_invalid_utf8("春天abc"), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("春\xff"), 3u);
  EXPECT_EQ(utf8_length("", 0), 0);
}

TEST(Strings, DigitsOfBasesUpTo36HaveTheirValue) {
  const std::string digits = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (int c = -128; c < 128; ++c) {
    const int lower = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    const size_t at = c < 0 ? std::string::npos : digits.find(static_cast<char>(lower));
    EXPECT_EQ(digit_value(static_cast<char>(c)), at == std::string::npos ? 36 : static_cast<int>(at)) << c;
  }
}

}  // namespace
}  // namespace trireme
