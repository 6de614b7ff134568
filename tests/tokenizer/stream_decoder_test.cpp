#include "tokenizer/stream_decoder.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/json.h"
#include "base/strings.h"
#include "tokenizer/golden_kind.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

/// A vocabulary of single bytes, where id and byte are one.
Tokenizer byte_tokenizer() {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
  return Tokenizer(spec);
}

TEST(StreamDecoder, NeverCutsACharacter) {
  const std::string text = "春眠不觉晓，é🙂 ok\u3000\U0010FFFF\uFFFF\u0800";
  const Tokenizer tokenizer = byte_tokenizer();
  StreamDecoder decoder(tokenizer);
  std::string joined;
  for (const char byte : text) {
    const std::string out = decoder.push(static_cast<uint8_t>(byte));
    EXPECT_EQ(find_invalid_utf8(out), std::string::npos);
    joined += out;
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, HoldsOnlyTheCutCharacterAtEveryCut) {
  const std::string text = "明月a几时有";
  const Tokenizer tokenizer = byte_tokenizer();
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    StreamDecoder decoder(tokenizer);
    std::string out;
    for (size_t i = 0; i < cut; ++i) out += decoder.push(static_cast<uint8_t>(text[i]));
    size_t whole = 0;
    for (size_t i = 0; i < cut; i += static_cast<size_t>(utf8_length(text, i))) {
      if (i + static_cast<size_t>(utf8_length(text, i)) <= cut) whole = i + static_cast<size_t>(utf8_length(text, i));
    }
    EXPECT_EQ(out, text.substr(0, whole));
    EXPECT_EQ(out + decoder.finish(), text.substr(0, cut));
    EXPECT_EQ(decoder.finish(), "");
  }
}

TEST(StreamDecoder, PassesStrayBytesAtOnce) {
  const Tokenizer tokenizer = byte_tokenizer();
  for (const char* bytes : {"\xFF", "\x80", "\xC0", "\xC1", "\xF5", "\xE0\x80", "\xED\xA0", "\xF0\x8F", "\xF4\x90"}) {
    StreamDecoder decoder(tokenizer);
    std::string out;
    for (const char byte : std::string_view(bytes)) out += decoder.push(static_cast<uint8_t>(byte));
    EXPECT_EQ(out, bytes);
  }
}

TEST(StreamDecoder, JoinsToTheDecodedTextForAnyBytes) {
  const Tokenizer tokenizer = testing::small_tokenizer();
  std::mt19937 random(5);
  for (int i = 0; i < 50; ++i) {
    const std::string text = testing::random_bytes(random, 200);
    StreamDecoder decoder(tokenizer);
    std::string joined;
    for (const int32_t id : tokenizer.encode(text)) joined += decoder.push(id);
    EXPECT_EQ(joined + decoder.finish(), text);
  }
}

TEST(StreamDecoder, NeverCutsACharacterOfAnyKindOfTokenizer) {
  std::mt19937 random(15);
  const std::vector<std::string> characters = {"a",  " ",    "the",        "\n", "é", "e\u0301", "春",
                                               "眠", "🙂", "\U0010FFFF", "▁",  "<", "ζ"};
  for (const char* name : {"", "jieba", "cpm/bee", "cpm/nine_g", "ranks/tokenizer.model", "ranks/o200k_base.tiktoken",
                           "ranks/qwen.tiktoken", "sentencepiece/bpe_bytes", "sentencepiece/bpe_rules",
                           "sentencepiece/unigram_suffix", "sentencepiece/unigram_rules"}) {
    const Tokenizer tokenizer =
        *name == '\0' ? testing::small_tokenizer() : Tokenizer::load(testing::golden_path(name));
    for (int i = 0; i < 50; ++i) {
      std::string text, joined;
      for (size_t k = 1 + random() % 40; k > 0; --k) text += characters[random() % characters.size()];
      const std::vector<int32_t> ids = tokenizer.encode(text);
      StreamDecoder decoder(tokenizer);
      for (const int32_t id : ids) {
        const std::string out = decoder.push(id);
        EXPECT_EQ(find_invalid_utf8(out), std::string::npos) << name << ": " << text;
        joined += out;
      }
      EXPECT_EQ(joined + decoder.finish(), tokenizer.decode(ids)) << name << ": " << text;
    }
  }
}

TEST(TextBytes, AreThoseOfTheDecodedTextWithoutSpecialTokens) {
  const Json parts = read_json(testing::golden_path("parts.json"));
  const auto named = [&](std::string_view name) {
    return Tokenizer(make_json_spec(testing::entry_of(parts, name).at("tokenizer"), {}));
  };
  using testing::Ids;
  EXPECT_EQ(text_bytes(named("BPEDecoder"), Ids{17, 0}), 3);    // "a a", of "a</w>" and "a"
  EXPECT_EQ(text_bytes(named("CTC"), Ids{0, 0, 20, 0}), 2);     // "aa": a pad between two, one repeated
  EXPECT_EQ(text_bytes(named("WordPiece"), Ids{0, 10, 1}), 4);  // "aa b"
  const Tokenizer bytes = testing::small_tokenizer();
  const int32_t end = bytes.eos_id().value();
  Ids ids = bytes.encode("the boats"), with = ids;
  with.insert(with.begin() + 1, end);
  with.push_back(end);
  EXPECT_EQ(text_bytes(bytes, ids), 9);
  EXPECT_EQ(text_bytes(bytes, with), 9);
  EXPECT_EQ(text_bytes(bytes, {}), 0);
}

}  // namespace
}  // namespace trireme
