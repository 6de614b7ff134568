// The vocabularies of CPM-Bee and CPM-9G, compared with the definition: the longest token at every place.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "support/temp_dir.h"
#include "tokenizer/cpm_vocabulary.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::random_bytes;
using testing::TempDir;
using Ids = std::vector<int32_t>;

const char kBee[] = "<unk>\n<s>\n</s>\n<mask>\n</n>\n</_>\na\nab\nabc\nb\nc\n<\n春\n春眠\n眠不\n不\n";

std::string nine_g_file() {
  std::string out = "\"<unk>\"\n\"<s>\"\n\"</s>\"\n";
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    out += cat("\"<0x", kDigits[byte / 16], kDigits[byte % 16], ">\"\n");
  }
  return out + "\"\\n\"\n\"a\"\n\"ab\"\n\"bcd\"\n\" \"\n\"<用户>\"\n\"<AI>\"\n\"春\\u7720\"\n\"\\\"\"\n";
}

Tokenizer load(const std::string& name, const std::string& content) {
  TempDir folder;
  write_file(folder.path(name), content);
  return Tokenizer::load(folder.path());
}

/// The longest of the tokens that are text, at every place, without a trie.
Ids naive(const Tokenizer& tokenizer, std::string_view text, const std::map<std::string, int32_t>& vocabulary,
          int32_t first_byte) {
  Ids ids;
  bool after_unknown = false;
  for (size_t i = 0; i < text.size();) {
    size_t length = std::min<size_t>(text.size() - i, 16);
    while (length > 0 && !vocabulary.contains(std::string(text.substr(i, length)))) --length;
    if (length > 0) {
      ids.push_back(vocabulary.at(std::string(text.substr(i, length))));
    } else {
      length = static_cast<size_t>(std::max(utf8_length(text, i), 1));
      if (first_byte >= 0) {
        for (size_t k = 0; k < length; ++k) ids.push_back(first_byte + static_cast<uint8_t>(text[i + k]));
      } else if (!after_unknown) {
        ids.push_back(tokenizer.spec().roles.at("unk_token"));
      }
    }
    after_unknown = length > 0 && !vocabulary.contains(std::string(text.substr(i, length)));
    i += length;
  }
  return ids;
}

TEST(CpmVocabulary, BeeTakesTheLongestTokenAndOneUnknownForARun) {
  const Tokenizer tokenizer = load("vocab.txt", kBee);
  EXPECT_EQ(tokenizer.vocab_size(), 16);
  EXPECT_EQ(tokenizer.encode("abcab a\nb"), (Ids{8, 7, 5, 6, 4, 9}));
  EXPECT_EQ(tokenizer.encode("xyzaxy春眠不"), (Ids{0, 6, 0, 13, 15}));
  EXPECT_EQ(tokenizer.encode("<mask></n>"), (Ids{11, 0, 6, 0, 11, 0}));  // as text: `<` is a token, `mask` is a run
  EXPECT_EQ(tokenizer.encode("a<mask>b", true), (Ids{6, 3, 9}));
  EXPECT_EQ(tokenizer.decode(Ids{8, 4, 5, 13, 3}), "abc\n 春眠<mask>");
  EXPECT_EQ(tokenizer.eos_id(), 2);
}

TEST(CpmVocabulary, NineGSpellsUnknownCharactersByTheirBytes) {
  const Tokenizer tokenizer = load("vocabs.txt", nine_g_file());
  EXPECT_EQ(tokenizer.vocab_size(), 268);
  EXPECT_EQ(tokenizer.encode("ab<用户>春眠\n\""), (Ids{261, 264, 266, 259, 267}));
  EXPECT_EQ(tokenizer.encode("é<AI>"), (Ids{3 + 0xC3, 3 + 0xA9, 265}));
  EXPECT_EQ(tokenizer.encode("<s><0x41>", true), (Ids{1, 3 + '<', 3 + '0', 3 + 'x', 3 + '4', 3 + '1', 3 + '>'}));
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    const std::string text = random_bytes(random, random() % 60);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(CpmVocabulary, BeesLanguageOfSpecialTokensIsReadAsTheOriginalDoes) {
  const Tokenizer tokenizer = Tokenizer::load(testing::golden_path("cpm/bee"));
  const int32_t unk = tokenizer.spec().roles.at("unk_token");
  const Json cases = read_json(testing::golden_path("cpm/cases.json")).at("bee");
  size_t with_special = 0, failing = 0;
  for (const Json& entry : cases.items()) {
    const std::string& text = entry.at("text").as_string();
    const auto ids_of = [&](const Json& list) {
      Ids ids;
      for (const Json& id : list.items())
        ids.push_back(id.as_integer() < 0 ? unk : static_cast<int32_t>(id.as_integer()));
      return ids;
    };
    EXPECT_EQ(tokenizer.encode(text), ids_of(entry.at("ids"))) << text;
    if (const Json* special = entry.find("special"); special != nullptr) {
      EXPECT_EQ(tokenizer.encode(text, true), ids_of(*special)) << text;
      ++with_special;
    } else {
      EXPECT_THROW(tokenizer.encode(text, true), ConfigError) << text;
      ++failing;
    }
  }
  EXPECT_GT(with_special, 40U);
  EXPECT_GT(failing, 20U);
}

TEST(CpmVocabulary, NineGGivesTheIdsAndTextsOfTheOriginal) {
  const Tokenizer tokenizer = Tokenizer::load(testing::golden_path("cpm/nine_g"));
  const Json cases = read_json(testing::golden_path("cpm/cases.json")).at("nine_g");
  ASSERT_GT(cases.size(), 80U);
  for (const Json& entry : cases.items()) {
    Ids expected;
    for (const Json& id : entry.at("ids").items()) expected.push_back(static_cast<int32_t>(id.as_integer()));
    EXPECT_EQ(tokenizer.encode(entry.at("text").as_string()), expected) << entry.at("text").as_string();
    EXPECT_EQ(tokenizer.decode(expected), entry.at("decoded").as_string());
  }
}

TEST(CpmVocabulary, AgreesWithTheDefinitionOnRandomText) {
  const Tokenizer bee = load("vocab.txt", kBee), nine_g = load("vocabs.txt", nine_g_file());
  std::map<std::string, int32_t> bee_tokens, nine_g_tokens;
  for (int32_t id = 4; id < bee.vocab_size(); ++id) bee_tokens[std::string(bee.token(id))] = id;
  for (int32_t id = 259; id < nine_g.vocab_size(); ++id) nine_g_tokens[std::string(nine_g.token(id))] = id;
  std::mt19937 random(6);
  const std::vector<std::string> parts = {"a", "b", "c", "d", "春", "眠", "不", " ", "\n", "<", "x", "<用户>", "\xE6"};
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (size_t k = random() % 30; k > 0; --k) text += parts[random() % parts.size()];
    EXPECT_EQ(bee.encode(text), naive(bee, text, bee_tokens, -1)) << text;
    EXPECT_EQ(nine_g.encode(text), naive(nine_g, text, nine_g_tokens, 3)) << text;
  }
}

TEST(CpmVocabulary, NamesTheLineOfABadFile) {
  const auto error = [](const std::string& text) -> std::string {
    try {
      read_cpm_vocabulary(text, "v");
    } catch (const IoError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error(kBee), "");
  EXPECT_EQ(error("<unk>\r\n<s>\n</s>\n</n>\r</_>\n\na"), "");
  EXPECT_EQ(error(std::string(kBee) + "ab\n"), "v: line 17: the token 'ab' is there twice");
  EXPECT_NE(error("[PAD]\n[UNK]\n").find("v: there is no token <unk>"), std::string::npos);
  EXPECT_NE(error("\"<unk>\"\nabc\n").find("v: line 2"), std::string::npos);
  EXPECT_NE(error("\"<unk>\"\n1\n").find("v: line 2: expected a token as a JSON string"), std::string::npos);
  EXPECT_NE(error("\"<unk>\"\n\"<s>\"\n\"</s>\"\n").find("there is no token <0x00>"), std::string::npos);
  EXPECT_NE(error("").find("there is no token <unk>"), std::string::npos);
}

}  // namespace
}  // namespace trireme
