// SentencePiece models compared with the original, and what is refused.
#include <gtest/gtest.h>

#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/temp_dir.h"
#include "tokenizer/encoder.h"
#include "tokenizer/golden_kind.h"
#include "tokenizer/protobuf.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/spm_model.h"
#include "tokenizer/stream_decoder.h"

namespace trireme {
namespace {

using testing::golden_path;
using testing::Ids;
using testing::ids_of;
using testing::streamed;
using testing::TempDir;

std::string model_path(const std::string& name) {
  return golden_path(cat("sentencepiece/", name, name == "cases.json" ? "" : "/tokenizer.model"));
}

std::string unhex(const std::string& digits) {
  std::string out;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return out;
}

const char* const kModels[] = {"bpe_bytes", "bpe_rules", "unigram_rules", "unigram_suffix", "unigram_no_prefix"};

TEST(SentencePiece, GivesTheIdsAndTextsOfTheOriginal) {
  const Json golden = read_json(model_path("cases.json"));
  for (const char* name : kModels) {
    const Tokenizer tokenizer = Tokenizer::load(golden_path(cat("sentencepiece/", name)));
    Encoder encoder(tokenizer);  // one for all texts: what it remembers must not change any
    ASSERT_GT(golden.at(name).size(), 60U);
    for (const Json& entry : golden.at(name).items()) {
      const std::string text = unhex(entry.at("text").as_string());
      const Ids expected = ids_of(entry.at("ids"));
      Ids ids;
      encoder.encode(ids, text);
      EXPECT_EQ(ids, expected) << name << ": " << text;
      EXPECT_EQ(tokenizer.encode(text), expected) << name << ": " << text;
      EXPECT_EQ(tokenizer.decode(expected), unhex(entry.at("decoded").as_string())) << name << ": " << text;
      EXPECT_EQ(streamed(tokenizer, expected), tokenizer.decode(expected)) << name << ": " << text;
    }
  }
}

TEST(SentencePiece, SplitsAtAddedTokensAsLlamasTokenizerDoes) {
  const Json golden = read_json(model_path("cases.json")).at("llama");
  Json config = Json::object(), added = Json::object();
  for (const auto& [id, text] : golden.at("added").members()) {
    added[id]["content"] = text;
    added[id]["special"] = true;
  }
  config["added_tokens_decoder"] = added;
  config["pad_token"] = "<pad>";
  for (const bool legacy : {false, true}) {
    config["legacy"] = legacy;
    TempDir folder;
    write_file(folder.path("tokenizer.model"), read_file(model_path("bpe_bytes")));
    write_file(folder.path("tokenizer_config.json"), config.dump());
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer.token(tokenizer.spec().roles.at("pad_token")), "<pad>");
    for (const Json& entry : golden.at("cases").items()) {
      if (entry.at("legacy").as_bool() != legacy) continue;
      const std::string text = unhex(entry.at("text").as_string());
      EXPECT_EQ(tokenizer.encode(text, true), ids_of(entry.at("ids"))) << legacy << ": " << text;
    }
  }
}

TEST(SentencePiece, KnowsItsRolesAndSpecialTokens) {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("sentencepiece/unigram_suffix"));
  EXPECT_EQ(tokenizer.spec().roles,
            (std::map<std::string, int32_t>{{"unk_token", 0}, {"bos_token", 1}, {"eos_token", 2}, {"pad_token", 3}}));
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_TRUE(tokenizer.is_special(0));
  EXPECT_FALSE(tokenizer.is_special(4));
  EXPECT_EQ(tokenizer.encode("</s>", true), Ids{2});
  EXPECT_EQ(tokenizer.token(4 + 0x41), "A");  // a byte
}

TEST(SentencePiece, StreamsWholeCharactersOfByteTokens) {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("sentencepiece/unigram_suffix"));
  const Ids ids = tokenizer.encode("\xF0\x9D\x84\x9E");  // no piece: 4 bytes and the dummy space
  ASSERT_EQ(ids.size(), 5U);
  StreamDecoder decoder(tokenizer);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(decoder.push(ids[static_cast<size_t>(i)]), "");
  EXPECT_EQ(decoder.push(ids[3]), "\xF0\x9D\x84\x9E");
}

TEST(SentencePiece, IsSavedAsItWasRead) {
  TempDir folder;
  const Tokenizer tokenizer = Tokenizer::load(golden_path("sentencepiece/bpe_rules"));
  tokenizer.save(folder.path());
  EXPECT_EQ(read_file(folder.path("tokenizer.model")), read_file(model_path("bpe_rules")));
  EXPECT_EQ(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
  EXPECT_NE(Tokenizer::load(golden_path("sentencepiece/unigram_rules")).fingerprint(), tokenizer.fingerprint());
}

TEST(SentencePiece, TakesTimeInProportionToALineWithoutSpaces) {
  for (const char* name : {"bpe_bytes", "unigram_suffix"}) {
    const Tokenizer tokenizer = Tokenizer::load(golden_path(cat("sentencepiece/", name)));
    const auto seconds = [&](size_t size) {
      std::string text;
      while (text.size() < size) text += "oarsthe";
      const std::clock_t begin = std::clock();  // of the processor: other work does not count
      const Ids ids = tokenizer.encode(text);
      EXPECT_LT(ids.size(), text.size());
      return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    };
    seconds(1000);
    EXPECT_LT(seconds(1 << 20), 100 * std::max(seconds(1 << 16), 3e-3)) << name;  // quadratic: 256 times
  }
}

TEST(SpmModel, RefusesEveryTruncationOfAModel) {
  for (const char* name : {"bpe_rules", "unigram_suffix"}) {
    const std::string bytes = read_file(model_path(name));
    for (size_t size = 0; size < bytes.size(); size += 7) {
      try {
        read_spm(std::string_view(bytes).substr(0, size), "cut.model");
        // A cut between two fields of the last messages leaves a model without them.
      } catch (const IoError& e) {
        EXPECT_EQ(std::string(e.what()).find("cut.model: "), 0U) << e.what();
      }
    }
    EXPECT_THROW(read_spm("", "empty.model"), IoError);
    EXPECT_THROW(read_spm(std::string_view(bytes).substr(0, 100), "cut.model"), IoError);
  }
}

TEST(SpmModel, NamesTheByteOfALengthBeyondTheFile) {
  const std::string bytes = "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F";  // a piece of 2^63 - 1 bytes
  try {
    read_spm(bytes, "hostile.model");
    FAIL();
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("hostile.model: byte 10: field 1 of 9223372036854775807 bytes"),
              std::string::npos)
        << e.what();
  }
}

/// A message of one varint field.
std::string varint_field(int number, int value) {
  return {static_cast<char>(number << 3 & 0x7F), static_cast<char>(value)};
}
std::string piece(const std::string& text, int type) {
  const std::string body = cat('\x0A', static_cast<char>(text.size()), text, varint_field(3, type));
  return cat('\x0A', static_cast<char>(body.size()), body);
}

TEST(SpmModel, RefusesPiecesThatCannotBe) {
  const auto error = [](const std::string& bytes) -> std::string {
    try {
      read_spm(bytes, "m");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error(piece("u", 2) + piece("a", 1)), "");
  EXPECT_EQ(error(piece("a", 1)), "m: none of 1 pieces is the unknown piece");
  EXPECT_EQ(error(piece("u", 2) + piece("v", 2)), "m: piece 1 'v': piece 0 is the unknown piece already");
  EXPECT_EQ(error(piece("u", 2) + piece("u", 1)), "m: piece 1 'u': there already is a piece of this text");
  EXPECT_EQ(error(piece("", 2)), "m: byte 2: a piece is empty");
  EXPECT_EQ(error(piece(std::string(1, '\0'), 2)), "m: byte 2: a piece has a zero byte");
  EXPECT_EQ(error(piece("u", 9)), "m: byte 6: a piece of the unknown type 9");
  EXPECT_EQ(error(piece("u", 2) + piece("<0x0A>", 6)),
            "m: piece 1 '<0x0A>': a byte piece in a model without byte_fallback");
  EXPECT_EQ(error(piece("u", 2) + std::string("\x12\x02\x18\x03", 4)),
            "m: a SentencePiece model of model_type 3 is not supported; expected unigram (1) or bpe (2)");
}

TEST(SpmModel, SurvivesACharsMapWithWildOffsets) {
  SpmModel model = read_spm(read_file(model_path("unigram_rules")), "m");
  std::mt19937 random(4);
  const std::string text = "the oars e\xCC\x81 38450\xE3\x80\x80x";
  for (int i = 0; i < 2000; ++i) {
    SpmModel damaged = model;
    for (int k = 0; k < 3; ++k)
      damaged.charsmap[4 + random() % (damaged.charsmap.size() - 4)] = static_cast<char>(random());
    std::string out;
    SpmNormalizer(damaged, "m").normalize(out, text);
    EXPECT_LT(out.size(), 100 * damaged.charsmap.size());
  }
  model.charsmap[3] = '\x7F';
  EXPECT_THROW(SpmNormalizer(model, "m"), IoError);
}

}  // namespace
}  // namespace trireme
