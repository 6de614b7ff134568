#include "tokenizer/normalize.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/strings.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

constexpr std::pair<const char*, NormalForm> kForms[] = {
    {"NFD", NormalForm::nfd}, {"NFC", NormalForm::nfc}, {"NFKD", NormalForm::nfkd}, {"NFKC", NormalForm::nfkc}};

TEST(Normalize, EveryCodePointHasThePublishedForms) {
  const Json golden = read_json(testing::golden_path("normalize.json"));
  for (const auto& [name, form] : kForms) {
    std::string all;
    for (uint32_t c = 0; c < 0x110000; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      std::string character;
      utf8_append(character, c);
      const std::string normal = normalize(character, form);
      if (is_surely_normal(character, form)) {
        ASSERT_EQ(normal, character) << name << " " << c;
      }
      all += normal + "\n";
    }
    EXPECT_EQ(hex(hash64(std::as_bytes(std::span(all)))), golden.at("points").at(name).as_string()) << name;
  }
}

TEST(Normalize, MarksAreOrderedAndComposed) {
  const Json golden = read_json(testing::golden_path("normalize.json"));
  ASSERT_GT(golden.at("cases").size(), 100U);
  for (const Json& entry : golden.at("cases").items()) {
    const std::string& text = entry.at("text").as_string();
    for (const auto& [name, form] : kForms) {
      EXPECT_EQ(normalize(text, form), entry.at(name).as_string()) << name << " " << text;
      EXPECT_EQ(normalize(text, form, NormalData::unicode9), entry.at("tokenizers").at(name).as_string()) << text;
    }
    EXPECT_EQ(to_lower(text), entry.at("tokenizers").at("Lowercase").as_string());
    EXPECT_EQ(strip_accents(text, NormalData::unicode9), entry.at("tokenizers").at("StripAccents").as_string());
  }
}

TEST(Normalize, NothingCombinesAcrossStrayBytes) {
  for (const auto& [name, form] : kForms) {
    EXPECT_EQ(normalize("e\xFF\u0301", form), "e\xFF\u0301") << name;
    EXPECT_EQ(normalize("\xCC\u0301", form), "\xCC\u0301");
    EXPECT_EQ(normalize("\u0301\u0323\xE6\x98", form), "\u0323\u0301\xE6\x98");
  }
  EXPECT_EQ(normalize("e\u0301\xCC", NormalForm::nfc), "\u00E9\xCC");
}

TEST(Normalize, AMillionMarksAreNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 500'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  EXPECT_EQ(normalize(text, NormalForm::nfd).size(), text.size());
  EXPECT_EQ(normalize(text, NormalForm::nfc).substr(0, 5), "\u1EA1\u0323");
}

TEST(Normalize, WhiteSpaceIsStrippedFromTheEndsAskedFor) {
  EXPECT_EQ(strip_white(" \u3000a b\u2003\n", true, true), "a b");
  EXPECT_EQ(strip_white(" a ", true, false), "a ");
  EXPECT_EQ(strip_white(" a ", false, true), " a");
  EXPECT_EQ(strip_white(" \n", false, true), "");
  EXPECT_EQ(strip_white("a\xE3\x80 ", false, true), "a\xE3\x80");
  EXPECT_EQ(strip_white("\u180E", true, true), "\u180E");
}

}  // namespace
}  // namespace trireme
