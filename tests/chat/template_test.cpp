#include "chat/template.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"

namespace trireme {
namespace {

/// One line of a file of cases: {"template", "variables", "now", "text", "generated"}, or "error" where jinja2 refuses.
void check_case(const Json& c, const std::string& source, const std::string& where) {
  RenderedText got;
  setenv("TZ", "UTC", 1);
  try {
    got = Template(source, "template").render(c.at("variables"), c.at("now").as_integer());
  } catch (const ConfigError& error) {
    const Json* expected = c.find("error");
    EXPECT_NE(expected, nullptr) << where << "\n"
                                 << source << "\nvariables " << c.at("variables").dump() << "\nwants "
                                 << c.at("text").dump() << "\nfails: " << error.what();
    return;
  }
  const Json* text = c.find("text");
  if (text == nullptr) {
    ADD_FAILURE() << where << "\n"
                  << source << "\nwants an error: " << c.at("error").as_string() << "\nwrites "
                  << Json(got.text).dump();
    return;
  }
  EXPECT_EQ(got.text, text->as_string()) << where << "\n" << source << "\nvariables " << c.at("variables").dump();
  std::string spans;
  for (const auto& [begin, end] : got.generated) spans += cat(begin, "-", end, " ");
  EXPECT_EQ(spans, c.at("generated").as_string()) << where << "\n" << source;
}

void check_file(const std::string& path) {
  std::vector<std::string> templates;  // by line; a number stands for the template of that line
  for (const std::string& line : split(trim(read_file(path)), '\n')) {
    const Json c = Json::parse(line, path);
    const Json& source = c.at("template");
    templates.push_back(source.is_string() ? source.as_string()
                                           : templates.at(static_cast<size_t>(source.as_integer() - 1)));
    check_case(c, templates.back(), cat(path, ": line ", templates.size()));
  }
  EXPECT_GT(templates.size(), 1U);
}

TEST(Template, RendersAsJinja2Does) { check_file(TRIREME_SOURCE_DIR "/tests/golden/chat/cases.jsonl"); }

/// Some of random_cases.py, or where TRIREME_CHAT_CASES names a file, all of that.
TEST(Template, RendersRandomTemplatesAsJinja2Does) {
  const char* path = std::getenv("TRIREME_CHAT_CASES");
  check_file(path != nullptr ? path : TRIREME_SOURCE_DIR "/tests/golden/chat/random.jsonl");
}

}  // namespace
}  // namespace trireme
