#include "base/json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

std::string message_of(std::string_view text) {
  try {
    Json::parse(text, "a.json");
  } catch (const IoError& e) {
    return e.what();
  }
  return "";
}

TEST(Json, ParsesEveryKindInOrderWithLines) {
  const Json j = Json::parse("{\"z\": 1,\n \"a\": [true,\n null, -2.5e1], \"s\": \"\\u6625\\n\",\n\n\"n\": 7\n}", "t");
  ASSERT_TRUE(j.is_object());
  EXPECT_EQ(j.members()[0].first, "z");
  EXPECT_EQ(j.at("z").as_integer(), 1);
  const std::vector<Json>& a = j.at("a").items();
  EXPECT_TRUE(a[0].as_bool());
  EXPECT_TRUE(a[1].is_null());
  EXPECT_EQ(a[2].as_real(), -25.0);
  EXPECT_EQ(a[2].as_integer(), -25);  // a real without a fraction
  EXPECT_EQ(j.at("s").as_string(), "春\n");
  EXPECT_EQ(j.line, 1);
  EXPECT_EQ(j.at("z").line, 1);
  EXPECT_EQ(j.at("a").line, 2);
  EXPECT_EQ(a[2].line, 3);
  EXPECT_EQ(j.at("n").line, 5);  // the newline after it is not counted
}

TEST(Json, TakesIntegersAsFarAsTheyFit) {
  EXPECT_EQ(Json::parse("9223372036854775807", "t").as_integer(), INT64_MAX);
  EXPECT_EQ(Json::parse("-9223372036854775808", "t").as_integer(), INT64_MIN);
  EXPECT_EQ(Json::parse("9223372036854775808", "t").kind(), Json::Kind::real);
  EXPECT_THROW(Json::parse("9223372036854775808", "t").as_integer(), ConfigError);
  EXPECT_THROW(Json::parse("0.5", "t").as_integer(), ConfigError);
}

TEST(Json, ErrorsNameTheSourceAndTheByte) {
  EXPECT_NE(message_of("{\"a\": 1,}").find("a.json: byte 9:"), std::string::npos) << message_of("{\"a\": 1,}");
  for (const char* bad : {"", " ", "{", "[1", "[1,]", "\"a", "01", "1.", "nul", "{\"a\"}", "[1] 2", "\"\x01\"",
                          "\"\xff\"", "'a'", "1e999", "\"\\ud800\"", "NaN"})
    EXPECT_NE(message_of(bad), "") << bad;
  EXPECT_NE(message_of(std::string_view("\0", 1)), "");
}

TEST(Json, AHostileTokenIsNotRepeatedWhole) { EXPECT_LT(message_of("\"" + std::string(1 << 20, 'x')).size(), 400u); }

TEST(Json, RefusesDuplicateKeysAlsoNested) {
  const std::string what = message_of("[{\"a\": {\"k\": 1, \"b\": 2, \"k\": 3}}]");
  EXPECT_NE(what.find("\"k\" appears twice"), std::string::npos) << what;
  EXPECT_EQ(message_of("[{\"k\": 1}, {\"k\": {\"k\": 1}}]"), "");
}

TEST(Json, RefusesDeepNesting) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(message_of(nested(64)), "");
  EXPECT_NE(message_of(nested(65)).find("deeper than 64"), std::string::npos);
  EXPECT_NE(message_of(std::string(1 << 20, '[')), "");
  EXPECT_NE(message_of([] {
              std::string text;
              for (int i = 0; i < 65; ++i) text += "{\"a\":";
              return text;
            }()),
            "");
}

TEST(Json, ParsesALargeObjectInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += cat(i ? "," : "", "\"token", i, "\":", i);
  const auto start = std::chrono::steady_clock::now();
  const Json j = Json::parse(text + "}", "t");
  EXPECT_EQ(j.size(), 200'000u);
  // Quadratic work would take minutes; the bound leaves room for sanitizers.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Json, DumpReadsBackEqual) {
  const std::string text = R"({"a":[1,-2.5,1.0,1e-05,true,null,"x\"\\\u0001\n春"],"empty":{},"none":[]})";
  const Json j = Json::parse(text, "t");
  EXPECT_EQ(j.dump(), text);
  EXPECT_EQ(Json::parse(j.dump(2), "t").dump(), text);
  EXPECT_EQ(Json::parse("{\"a\":[1],\"b\":{}}", "t").dump(2), "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}");
}

TEST(Json, DumpMakesValidTextOfAnyBytes) {
  EXPECT_EQ(Json("a\xff"
                 "b\xe6\x98")
                .dump(),
            "\"a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(Json(std::nan("")).dump(), "null");
}

TEST(Json, TypedAccessNamesLineAndKinds) {
  const Json j = Json::parse("{\n\"a\": \"x\"}", "t");
  try {
    j.at("a").as_integer();
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(), "line 2: expected an integer, found a string");
  }
  EXPECT_THROW(j.at("b"), ConfigError);
  EXPECT_THROW(j.items(), ConfigError);
  EXPECT_THROW(j.at("a").as_bool(), ConfigError);
  EXPECT_EQ(j.find("b"), nullptr);
}

TEST(Json, IsBuiltInPlace) {
  Json j;
  j["b"]["c"] = 1;
  j["a"].push_back("x");
  j["b"]["c"] = 2;
  EXPECT_EQ(j.dump(), R"({"b":{"c":2},"a":["x"]})");
  EXPECT_TRUE(j.erase("b"));
  EXPECT_FALSE(j.erase("b"));
  EXPECT_EQ(j.dump(), R"({"a":["x"]})");
}

TEST(Json, ReadsFilesAndNamesThem) {
  const testing::TempDir dir;
  write_file(dir.path("x.json"), "[1, 2");
  try {
    read_json(dir.path("x.json"));
    FAIL();
  } catch (const IoError& e) {
    EXPECT_EQ(std::string(e.what()).find(dir.path("x.json") + ": byte "), 0u) << e.what();
  }
  EXPECT_THROW(read_json(dir.path("missing.json")), IoError);
}

}  // namespace
}  // namespace trireme
