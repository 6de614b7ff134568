#include "base/yaml.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace trireme {
namespace {

std::string message_of(std::string_view text) {
  try {
    parse_yaml(text, "r.yaml");
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

TEST(Yaml, ReadsARecipeWithLines) {
  const Json j = parse_yaml(
      "# poems\nmodel:\n  hidden_size: 64\n  name: 'a: b'\nlr: 6e-4\nsplit: [949, 50, 1]\nlist:\n- x\n-  y: 1\n   z:\n",
      "r");
  EXPECT_EQ(j.at("model").at("hidden_size").as_integer(), 64);
  EXPECT_EQ(j.at("model").at("hidden_size").line, 3);
  EXPECT_EQ(j.at("model").at("name").as_string(), "a: b");
  EXPECT_EQ(j.at("lr").as_real(), 6e-4);
  EXPECT_EQ(j.at("lr").line, 5);
  EXPECT_EQ(j.at("split").items()[2].as_integer(), 1);
  EXPECT_EQ(j.at("list").items()[0].as_string(), "x");
  EXPECT_EQ(j.at("list").items()[1].at("y").as_integer(), 1);
  EXPECT_TRUE(j.at("list").items()[1].at("z").is_null());
}

TEST(Yaml, TypesPlainScalarsByTheCoreSchema) {
  const auto kind = [](const char* text) { return parse_yaml(text, "t").kind(); };
  for (const char* text : {"", "~", "null"}) EXPECT_EQ(kind(text), Json::Kind::null) << text;
  for (const char* text : {"true", "False"}) EXPECT_EQ(kind(text), Json::Kind::boolean) << text;
  for (const char* text : {"0", "-3", "+7", "9223372036854775807"}) EXPECT_EQ(kind(text), Json::Kind::integer) << text;
  for (const char* text : {"1.5", "6e-4", "1e3", ".5", "-1.", ".inf", ".nan"})
    EXPECT_EQ(kind(text), Json::Kind::real) << text;
  for (const char* text :
       {"yes", "on", "nan", "inf", "1a", "1.2.3", "'1'", "\"true\"", "!!str 5", "2024-01-01", "-", "."})
    EXPECT_EQ(kind(text), std::string(text) == "-" ? Json::Kind::array : Json::Kind::string) << text;
}

TEST(Yaml, RefusesWhatItWouldMisread) {
  EXPECT_EQ(message_of("a: 1\nb: 2\na: 3\n"), "r.yaml:3: the key 'a' appears twice in this mapping");
  EXPECT_NE(message_of("a: &x 1\nb: *x\n").find("r.yaml:2: aliases"), std::string::npos);
  EXPECT_NE(message_of("a: !!python/object x\n").find("r.yaml:1: the tag"), std::string::npos);
  EXPECT_NE(message_of("? [a]\n: 1\n").find("r.yaml:1: a key must be"), std::string::npos);
  EXPECT_NE(message_of("a: 1\n---\nb: 2\n").find("second document"), std::string::npos);
  EXPECT_NE(message_of("a: 1\nb: \xff\n").find("r.yaml:2: byte 8 is not UTF-8"), std::string::npos);
  EXPECT_NE(message_of("a: 1\n\x04"
                       "b: 2\n")
                .find("r.yaml:2: byte 5 is a control"),
            std::string::npos);
  EXPECT_NE(message_of("a: [1, 2\n").find("r.yaml:"), std::string::npos);
  EXPECT_NE(message_of("a: 1\n  b: 2\n").find("r.yaml:2"), std::string::npos);
}

TEST(Yaml, RefusesDeepNesting) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(message_of(nested(64)), "");
  EXPECT_NE(message_of(nested(65)).find("deeper than 64"), std::string::npos);
  EXPECT_NE(message_of(std::string(100'000, '[')), "");
  EXPECT_NE(message_of(std::string((size_t{1} << 24) + 1, ' ')), "");
}

TEST(Yaml, DumpReadsBackEqual) {
  Json j = Json::object();
  j["text"] = "plain";
  j["odd"] = Json::array();
  for (const char* s : {"",   " x", "x ",  "true", "null", "~", "12", "1e3", "-",    "- a", "a: b",        "a #b",
                        "#",  "*a", "&a",  "!a",   "[",    "{", "%",  "@",   "'",    "\"",  "line\nbreak", "tab\t",
                        "\\", "春", "...", "---",  ".nan", "=", "<<", "a,b", "\x01", "\x7f"})
    j["odd"].push_back(s);
  j["number"] = 0.1;
  j["whole"] = 2.0;
  j["integer"] = -3;
  j["none"] = Json();
  j["empty"]["list"] = Json::array();
  j["empty"]["map"] = Json::object();
  j["nested"].push_back(Json::parse(R"([1, {"a": [true]}])", "t"));
  j["key: odd"] = false;
  j[std::string(2000, 'k')]["inner"] = 1;
  EXPECT_EQ(parse_yaml(dump_yaml(j), "t").dump(), j.dump()) << dump_yaml(j);
  EXPECT_TRUE(std::isinf(parse_yaml(dump_yaml(INFINITY), "t").as_real()));
  EXPECT_TRUE(std::isnan(parse_yaml(dump_yaml(std::nan("")), "t").as_real()));
}

}  // namespace
}  // namespace trireme
