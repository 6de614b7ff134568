// The rarer parts of tokenizer.json against Hugging Face's tokenizers (tests/golden/tokenizer/make_parts.py).
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "base/strings.h"
#include "tokenizer/golden_kind.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

using testing::golden_path;
using testing::Ids;
using testing::streamed;

const Json& parts() {
  static const Json json = read_json(golden_path("parts.json"));
  return json;
}

Tokenizer tokenizer_of(const Json& entry) { return Tokenizer(make_json_spec(entry.at("tokenizer"), {})); }

const Json& entry_of(std::string_view name) { return testing::entry_of(parts(), name); }

TEST(TokenizerParts, EveryPartGivesTheIdsOfHuggingFace) {
  size_t cases = 0;
  for (const Json& entry : parts().at("tokenizers").items()) {
    cases += testing::compare_kind(entry, entry.at("tokenizer"));
  }
  EXPECT_GT(cases, 500U);
}

TEST(TokenizerParts, IdsOfAnyOrderDecodeAsInHuggingFace) {
  size_t cases = 0;
  for (const Json& entry : parts().at("tokenizers").items()) {
    SCOPED_TRACE(entry.at("name").as_string());
    const Tokenizer tokenizer = tokenizer_of(entry);
    for (const Json& pair : entry.at("joined").items()) {
      const Ids ids = testing::ids_of(pair.items()[0]);
      EXPECT_EQ(tokenizer.decode(ids), pair.items()[1].as_string());
      EXPECT_EQ(streamed(tokenizer, ids), pair.items()[1].as_string());
      ++cases;
    }
  }
  EXPECT_GT(cases, 400U);
}

TEST(TokenizerParts, StreamsEndBetweenCharactersAndJoinForAnyIds) {
  std::mt19937 random(21);
  for (const Json& entry : parts().at("tokenizers").items()) {
    SCOPED_TRACE(entry.at("name").as_string());
    const Tokenizer tokenizer = tokenizer_of(entry);
    const auto size = static_cast<uint32_t>(tokenizer.vocab_size());
    for (int i = 0; i < 40; ++i) {
      Ids ids;
      for (size_t k = random() % 30; k > 0; --k) ids.push_back(static_cast<int32_t>(random() % size));
      const std::string whole = tokenizer.decode(ids);
      EXPECT_EQ(streamed(tokenizer, ids), whole);
      if (find_invalid_utf8(whole) != std::string::npos) continue;
      StreamDecoder decoder(tokenizer);
      for (const int32_t id : ids) EXPECT_EQ(find_invalid_utf8(decoder.push(id)), std::string::npos);
    }
  }
}

TEST(TokenizerParts, StreamsHoldBackOnlyWhatMayChange) {
  const Tokenizer suffix = tokenizer_of(entry_of("BPEDecoder")), replace = tokenizer_of(entry_of("fused replace"));
  StreamDecoder words(suffix);
  EXPECT_EQ(words.push(17), "");  // a</w>: a blank or nothing
  EXPECT_EQ(words.push(0), "a ");
  EXPECT_EQ(words.finish(), "a");
  const Tokenizer literals = tokenizer_of(entry_of("fused literals"));
  StreamDecoder text(literals);
  EXPECT_EQ(text.push(8), "s");
  EXPECT_EQ(text.push(0), "");    // may begin "ab"
  EXPECT_EQ(text.push(13), "a");  // and did not; "春 " may follow
  EXPECT_EQ(text.push(3), "_");
  EXPECT_EQ(text.finish(), "");
}

TEST(TokenizerParts, NoTextBreaksAnyPart) {
  std::mt19937 random(22);
  for (const Json& entry : parts().at("tokenizers").items()) {
    SCOPED_TRACE(entry.at("name").as_string());
    const Tokenizer tokenizer = tokenizer_of(entry);
    for (int i = 0; i < 20; ++i) {
      const Ids ids = tokenizer.encode(testing::random_bytes(random, random() % 60), true);
      EXPECT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids));
    }
  }
}

TEST(TokenizerParts, BytesThatAreNoTextStayInEveryNormalizer) {
  using Kind = NormalizerRule::Kind;
  RegexScratch scratch;
  for (const Kind kind : {Kind::bert_clean, Kind::bert_ideographs, Kind::bert_accents, Kind::nmt}) {
    const Normalizer normalizer({{kind, "", ""}});
    const std::string text = "a\xFF\xE6\x98z\xED\xA0\x80";
    EXPECT_EQ(normalizer.apply(text, text.size(), scratch).value_or(text), text);
  }
}

TEST(TokenizerParts, UnknownCharactersWaitForAKnownOne) {
  const auto ids = [](bool fuse, const char* unk, const char* text) {
    const std::string model = R"({"type": "BPE", "merges": [], "byte_fallback": true, "unk_token": ")";
    const std::string vocab = R"(", "vocab": {"<unk>": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3, "u": 4}, "fuse_unk": )";
    const std::string json = R"({"model": )" + model + unk + vocab + (fuse ? "true}}" : "false}}");
    return Tokenizer(make_json_spec(Json::parse(json, "tokenizer.json"), {})).encode(text);
  };
  EXPECT_EQ(ids(false, "<unk>", "xéxa"), (Ids{2, 3, 0, 0, 1}));  // as tokenizers 0.23.3 has them
  EXPECT_EQ(ids(true, "<unk>", "xéxa"), (Ids{2, 3, 0, 1}));
  EXPECT_EQ(ids(true, "u", "uxyua"), (Ids{4, 4, 4, 1}));
}

std::string utf8_of(uint32_t point) {
  std::string out;
  utf8_append(out, point);
  return out;
}

/// The hash of what `apply` makes of every code point.
std::string hash_of_points(const std::function<std::string(const std::string&)>& apply) {
  std::string all;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c >= 0xE000) all += apply(utf8_of(c)) + "\n";
  }
  return hex(hash64(std::as_bytes(std::span(all))));
}

TEST(TokenizerParts, EveryCodePointIsOfTheClassOfHuggingFace) {
  using Kind = NormalizerRule::Kind;
  RegexScratch scratch;
  const std::pair<const char*, Kind> rewritings[] = {{"Nmt", Kind::nmt},
                                                     {"clean_text", Kind::bert_clean},
                                                     {"handle_chinese_chars", Kind::bert_ideographs},
                                                     {"strip_accents", Kind::bert_accents}};
  for (const auto& [name, kind] : rewritings) {
    const Normalizer normalizer({{kind, "", ""}});
    const auto apply = [&](const std::string& c) {
      return normalizer.apply(c, growth_limit(c.size()), scratch).value_or(c);
    };
    EXPECT_EQ(hash_of_points(apply), parts().at("points").at(name).as_string()) << name;
  }
  PieceRule rule{PieceRule::Kind::scripts};
  const PreTokenizer scripts({rule});
  Pieces pieces;
  const auto cut = [&](const std::string& c) {
    pieces.text = cat(c, "a", c, "中", c);
    scripts.apply(pieces, pieces.text.size(), scratch);
    std::string out;
    for (const Span span : pieces.spans) {
      out.append(out.empty() ? "" : "\n").append(pieces.text, span.begin, span.end - span.begin);
    }
    return out;
  };
  EXPECT_EQ(hash_of_points(cut), parts().at("points").at("UnicodeScripts").as_string());
}

/// The error of a tokenizer of parts.json with one member changed, or "".
std::string error_of(std::string_view name, std::string_view part, const char* key, const Json& value) {
  Json root = entry_of(name).at("tokenizer");
  root[std::string(part)][key] = value;
  try {
    make_json_spec(Json::parse(root.dump(1), "tokenizer.json"), {});
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

::testing::AssertionResult says(const std::string& error, std::initializer_list<const char*> wanted) {
  for (const char* text : wanted) {
    if (error.find(text) == std::string::npos) return ::testing::AssertionFailure() << text << " not in: " << error;
  }
  return ::testing::AssertionSuccess();
}

TEST(TokenizerParts, MembersAreChecked) {
  EXPECT_TRUE(says(error_of("suffix", "model", "end_of_word_suffix", 3), {"line ", "model.end_of_word_suffix"}));
  EXPECT_TRUE(
      says(error_of("suffix", "model", "continuing_subword_prefix", "###"), {"model.merges[", "subword_prefix"}));
  EXPECT_TRUE(says(error_of("suffix", "decoder", "suffix", Json()), {"decoder.suffix", "string"}));
  EXPECT_TRUE(says(error_of("WordPiece", "decoder", "cleanup", "yes"), {"decoder.cleanup", "string"}));
  EXPECT_TRUE(says(error_of("CTC", "decoder", "pad_token", 0), {"decoder.pad_token"}));
  EXPECT_TRUE(says(error_of("metaspace", "decoder", "prepend_scheme", "odd"), {"decoder.prepend_scheme", "always"}));
  EXPECT_TRUE(says(error_of("strip", "decoder", "stop", -1), {"decoder.stop", "-1"}));
  EXPECT_TRUE(says(error_of("prefix, BERT", "normalizer", "clean_text", Json()), {"normalizer.clean_text"}));
  EXPECT_TRUE(says(error_of("prefix, BERT", "normalizer", "strip_accents", 1), {"normalizer.strip_accents"}));
  const Json bare = Json::parse(R"([{"type": "BertNormalizer"}])", "");  // the first missing member is named
  EXPECT_TRUE(says(error_of("replace nothing", "normalizer", "normalizers", bare), {"'clean_text'"}));
  EXPECT_TRUE(
      says(error_of("fixed length", "pre_tokenizer", "length", 0), {"pre_tokenizer.length", "is 0", "at least 1"}));
  EXPECT_TRUE(says(error_of("fixed length", "pre_tokenizer", "length", "3"), {"pre_tokenizer.length"}));
  EXPECT_EQ(error_of("fixed length", "pre_tokenizer", "length", 4), "");
}

}  // namespace
}  // namespace trireme
