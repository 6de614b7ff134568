// No template can crash, hang or fill the memory, whatever it says.
#include <gtest/gtest.h>

#include "base/error.h"
#include "chat/template.h"

namespace trireme {
namespace {

std::string failure_of(const std::string& source, const jinja::Limits& limits = {}) {
  Json variables = Json::object();
  variables["text"] = "some text";
  try {
    return "rendered: " + Template(source, "test").render(variables, 0, limits).text.substr(0, 200);
  } catch (const ConfigError& error) {
    return error.what();
  }
}

void expect_failure(const std::string& source, const std::string& part) {
  const std::string failure = failure_of(source, {.steps = 2'000'000, .memory = 16 << 20, .output = 1 << 20});
  EXPECT_NE(failure.find(part), std::string::npos) << source.substr(0, 200) << "\n" << failure;
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(Limits, EndlessRecursionOfAMacroIsRefused) {
  expect_failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper");
  expect_failure("{% macro m(f) %}{{ f(f) }}{% endmacro %}{{ m(m) }}", "nested deeper");
  expect_failure("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "nested deeper");
}

TEST(Limits, LongLoopsAreRefused) {
  expect_failure("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "more than");
  expect_failure("{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
                 "more than");
  expect_failure("{% set l = range(99999) %}{% for a in l %}{% if 1 in l[9:] or 1 == 1 %}{% endif %}{% endfor %}",
                 "more than");
  expect_failure("{% set t = text * 9000 %}{% for a in range(99999) %}{% if 'q' in t %}{% endif %}{% endfor %}",
                 "steps");
  expect_failure("{{ range(100001) }}", "range");
}

TEST(Limits, HugeValuesAreRefused) {
  expect_failure("{{ text * 1000000000000 }}", "memory");
  expect_failure("{{ [text] * 4000000000000000000 }}", "memory");
  expect_failure("{{ text.replace('', text * 100000) * 1000 }}", "memory");
  expect_failure("{{ text.center(9000000000) }}", "memory");
  expect_failure("{{ text | indent(9000000000000) }}", "memory");
  expect_failure("{{ [1] | batch(999999999999, 0) | list }}", "steps");
  expect_failure("{{ '%999999999d' % 1 }}", "width");
  expect_failure("{{ 9223372036854775807 + 1 }}", "64 bits");
  expect_failure("{{ 99999999999999999999 }}", "64 bits");
  expect_failure("{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
                 "memory");
}

TEST(Limits, AChainOfTextsCostsItsLengthOnce) {
  Json variables = Json::object();
  variables["text"] = std::string(1 << 20, 'x');
  const jinja::Limits limits{.steps = 2'000'000, .memory = 48 << 20, .output = 16 << 20};
  const std::string out =
      Template("{{ text" + repeated(" + 'y' + text", 10) + " }}", "test").render(variables, 0, limits).text;
  EXPECT_EQ(out.size(), 11U * (1 << 20) + 10);
  EXPECT_EQ(failure_of("{{ text + 'a' + 1 }}"), "test: line 1: unsupported operand types for +: 'str' and 'int'");
}

TEST(Limits, LongOutputIsRefused) {
  expect_failure("{% set t = text * 9000 %}{% for i in range(999) %}{{ t }}{% endfor %}", "writes more than");
}

TEST(Limits, DeepNestingInTheSourceIsRefused) {
  expect_failure("{{ " + repeated("(", 100000) + "1" + repeated(")", 100000) + " }}", "nested deeper");
  expect_failure("{{ " + repeated("[", 100000) + "1" + repeated("]", 100000) + " }}", "nested deeper");
  expect_failure("{{ " + repeated("not ", 100000) + "1 }}", "nested deeper");
  expect_failure("{{ " + repeated("-", 100000) + "1 }}", "nested deeper");
  expect_failure("{{ " + repeated("1 if 1 else ", 50000) + "1 }}", "nested deeper");
  expect_failure(repeated("{% if 1 %}", 100000), "inside of one another");
  expect_failure("{{ 1" + repeated(" - 1", 100000) + " }}", "nested deeper");
  expect_failure("{{ 1" + repeated(" | abs", 100000) + " }}", "nested deeper");
  expect_failure("{% set " + repeated("(", 100000) + "a" + repeated(")", 100000) + " = 1 %}", "nested deeper");
}

TEST(Limits, DeepValuesAreRefused) {
  const std::string make =
      "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}";
  expect_failure(make + "{{ ns.l }}", "nested deeper");
  expect_failure(make + "{{ ns.l | tojson }}", "nested deeper");
  expect_failure(make + "{{ ns.l == [ns.l] }}", "nested deeper");
}

TEST(Limits, ErrorsNameTheLineOfTheTemplate) {
  EXPECT_EQ(failure_of("a\n\n{{ nothing.at.all }}"), "test: line 3: 'nothing' is undefined");
  EXPECT_EQ(failure_of("{% for m in [1] %}\n{{ raise_exception('roles must alternate') }}{% endfor %}"),
            "test: line 2: roles must alternate");
  EXPECT_EQ(failure_of("\n{{ text | shout }}"), "test: line 2: there is no filter named 'shout'");
  EXPECT_EQ(failure_of("{% if text %}\n"), "test: line 1: the template ends before {% endif %}");
  EXPECT_EQ(failure_of("{{ text | urlize }}"), "test: line 1: 'urlize' is part of jinja2 but not supported here");
  EXPECT_EQ(failure_of("x\n{% include 'y' %}"),
            "test: line 2: {% include %}: a chat template cannot load another template");
  EXPECT_EQ(failure_of("\xFF"), "test: byte 0 of the template is not UTF-8");
}

TEST(Limits, TextThatIsNotUtf8GetsReplacementCharacters) {
  Json variables = Json::object();
  variables["text"] = std::string(
      "a\xFF"
      "b");
  EXPECT_EQ(Template("{{ text | upper }}", "test").render(variables, 0).text, "A\uFFFDB");
}

}  // namespace
}  // namespace trireme
