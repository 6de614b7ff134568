// Files of tokenizer.json made to fill the memory or to take for ever: they are refused, or cost what their size does.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/read.h"
#include "tokenizer/stream_decoder.h"

namespace trireme {
namespace {

using Ids = std::vector<int32_t>;

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

std::string repeated(const std::string& text, int times) {
  std::string out = text;
  for (int i = 1; i < times; ++i) out += ", " + text;
  return out;
}

std::string sequence(const std::string& list, const std::string& steps) {
  return R"({"type": "Sequence", ")" + list + R"(": [)" + steps + "]}";
}

/// A tokenizer of the letter a, with `members` of the file and `options` of its model.
Tokenizer small(const std::string& members, const std::string& vocab = R"("a": 0)", const std::string& options = "") {
  const std::string model = R"("model": {"type": "BPE", "merges": [], "vocab": {)" + vocab + "}" + options + "}";
  return Tokenizer(make_json_spec(Json::parse("{" + members + (members.empty() ? "" : ", ") + model + "}", "t"), {}));
}

const std::string kByteLevel = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})";
constexpr const char* kTooMuch = "bytes of a text";

TEST(HostileTokenizer, NormalizersMakeNoMoreOfATextThanItsSizeAllows) {
  const std::string normalizer =
      R"("normalizer": )" + sequence("normalizers", repeated(R"({"type": "ByteLevel"})", 40));
  const Tokenizer tokenizer = small(normalizer);
  EXPECT_NE(error_of([&] { tokenizer.encode("é"); }).find(kTooMuch), std::string::npos);
  EXPECT_NO_THROW(tokenizer.encode("a"));
  const std::string added = R"(, "added_tokens": [{"id": 1, "content": "é", "special": false, "normalized": true}])";
  EXPECT_NE(error_of([&] { small(normalizer + added); }).find(kTooMuch), std::string::npos);
}

TEST(HostileTokenizer, IdeographsGainNoMoreBlanksThanTheTextsSizeAllows) {
  const std::string bert = R"({"type": "BertNormalizer", "clean_text": false, "handle_chinese_chars": true, )"
                           R"("strip_accents": false, "lowercase": false})";
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "中";
  const Tokenizer tokenizer = small(R"("normalizer": )" + sequence("normalizers", repeated(bert, 250)));
  EXPECT_NE(error_of([&] { tokenizer.encode(text); }).find(kTooMuch), std::string::npos);
}

TEST(HostileTokenizer, PreTokenizersMakeNoMoreOfATextThanItsSizeAllows) {
  const Tokenizer bytes = small(R"("pre_tokenizer": )" + sequence("pretokenizers", repeated(kByteLevel, 40)));
  EXPECT_NE(error_of([&] { bytes.encode("é"); }).find(kTooMuch), std::string::npos);
  const std::string blanks = R"({"type": "Metaspace", "prepend_scheme": "never", "split": false, "replacement": ")" +
                             std::string(60, ' ') + R"("})";
  const Tokenizer spaces = small(R"("pre_tokenizer": )" + sequence("pretokenizers", repeated(blanks, 8)));
  EXPECT_NE(error_of([&] { spaces.encode("  "); }).find(kTooMuch), std::string::npos);
}

TEST(HostileTokenizer, PartsOfATextBetweenAddedTokensShareOneLimit) {
  const std::string added = R"("added_tokens": [{"id": 1, "content": "|", "special": false, "normalized": false}], )";
  std::string text;
  for (int i = 0; i < 200; ++i) text += "é|";
  for (const auto& [part, list] :
       {std::pair("normalizer", "normalizers"), std::pair("pre_tokenizer", "pretokenizers")}) {
    const std::string chain = sequence(list, repeated(kByteLevel, 13));  // some ten thousand bytes of two
    const Tokenizer tokenizer = small(added + "\"" + part + "\": " + chain);
    EXPECT_NO_THROW(tokenizer.encode("é|"));
    EXPECT_NE(error_of([&] { tokenizer.encode(text); }).find(kTooMuch), std::string::npos) << part;
  }
}

TEST(HostileTokenizer, SequencesOfMoreThanAThousandStepsAreRefused) {
  const auto with = [](const char* part, const char* list, const std::string& step, int count) {
    return error_of([&] { small(cat("\"", part, "\": ", sequence(list, repeated(step, count)))); });
  };
  const std::string replace = R"({"type": "Replace", "pattern": {"String": "x"}, "content": "y"})";
  for (const auto& [part, list] : {std::pair("normalizer", "normalizers"), std::pair("decoder", "decoders")}) {
    EXPECT_EQ(with(part, list, replace, 1000), "");
    const std::string error = with(part, list, replace, 1001);
    EXPECT_NE(error.find(cat("line 1: ", part, " has 1001 steps, at most 1000")), std::string::npos) << error;
  }
  EXPECT_NE(with("pre_tokenizer", "pretokenizers", R"({"type": "Digits"})", 1001).find("at most 1000"),
            std::string::npos);
}

TEST(HostileTokenizer, PrefixesAndSuffixesAreShort) {
  const auto with = [](const char* key, size_t size) {
    return error_of([&] { small("", R"("a": 0)", cat(", \"", key, "\": \"", std::string(size, 'x'), "\"")); });
  };
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    EXPECT_EQ(with(key, 32), "");
    EXPECT_NE(with(key, 33).find("has 33 bytes, at most 32"), std::string::npos);
  }
}

/// Seconds that streaming `ids` takes with the steps behind a Fuse.
double seconds(const std::string& steps, const std::string& vocab, const Ids& ids, std::string& out) {
  const std::string decoders = sequence("decoders", R"({"type": "Fuse"}, )" + steps);
  const Tokenizer tokenizer = small(R"("decoder": )" + decoders, vocab);
  const double begin = now_seconds();
  out = tokenizer.decode(ids);
  return now_seconds() - begin;
}

TEST(HostileTokenizer, DecodingTakesTimeLikeTheTextsLength) {
  constexpr double kMost = 0.5;  // seconds; some milliseconds are needed
  const std::string a(600000, 'a');
  std::string out;
  const std::string begin = R"({"type": "Strip", "content": "a", "start": 600000, "stop": 0})";
  EXPECT_LT(seconds(begin, "\"" + a + R"(": 0, "b": 1)", {0, 1}, out), kMost);
  EXPECT_EQ(out, "b");
  const std::string end = R"({"type": "Strip", "content": "a", "start": 0, "stop": 600000})";
  EXPECT_LT(seconds(end, R"("a": 0, "b": 1)", Ids(200000, 0), out), kMost);
  EXPECT_EQ(out, "");
  const std::string replace = R"({"type": "Replace", "pattern": {"String": ")" + a + R"(b"}, "content": "c"})";
  EXPECT_LT(seconds(replace, R"("a": 0, "b": 1)", Ids(20000, 0), out), kMost);
  EXPECT_EQ(out, std::string(20000, 'a'));
}

TEST(HostileTokenizer, WhiteSpaceThatManyTokensTakeIsReadOnce) {
  const std::string added =
      R"("added_tokens": [{"id": 1, "content": " ", "special": false, "normalized": false, "rstrip": true}])";
  const Tokenizer tokenizer = small(added);
  const double begin = now_seconds();
  EXPECT_EQ(tokenizer.encode(std::string(300000, ' ')).size(), 300000U);
  EXPECT_LT(now_seconds() - begin, 2.0);
}

}  // namespace
}  // namespace trireme
