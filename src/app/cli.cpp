#include "app/cli.h"

#include <CLI/CLI.hpp>

#include "app/standard_io.h"
#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

/// CLI11's own number conversion takes "12abc" for some types and prints C++ type names; ours says what is expected.
template <class T>
CLI::Option* add_number(CLI::App& app, const std::string& name, T& value, const std::string& doc,
                        bool (*parse)(std::string_view, T&), const char* kind) {
  const auto take = [&value, name, parse, kind](const std::string& text) {
    if (!parse(text, value)) throw ConfigError(cat(name, ": expected ", kind, ", got '", text, "'"));
  };
  return app.add_option_function<std::string>(name, take, doc)->type_name(kind)->default_str(cat(value));
}

void require(CLI::Option* option, CommandLine::Need need) { option->required(need == CommandLine::Need::required); }

}  // namespace

struct CommandLine::Impl {
  Impl(std::string_view summary, std::string name, std::vector<std::string> w)
      : app(std::string(summary), std::move(name)), words(std::move(w)) {}
  CLI::App app;
  std::vector<std::string> words;
};

CommandLine::CommandLine(std::string_view name, std::string_view summary, std::vector<std::string> words)
    : impl_(std::make_unique<Impl>(summary, cat("trireme ", name), std::move(words))) {}

CommandLine::~CommandLine() = default;

void CommandLine::example(std::string_view text) { impl_->app.footer(cat("Example:\n  ", text)); }

void CommandLine::flag(const std::string& name, bool& value, const std::string& doc) {
  impl_->app.add_flag(name, value, doc);
}

void CommandLine::option(const std::string& name, std::string& value, const std::string& doc, Need need) {
  require(impl_->app.add_option(name, value, doc)->capture_default_str()->type_name("TEXT"), need);
}

void CommandLine::option(const std::string& name, int64_t& value, const std::string& doc, Need need) {
  require(add_number<int64_t>(impl_->app, name, value, doc, parse_integer, "INTEGER"), need);
}

void CommandLine::option(const std::string& name, double& value, const std::string& doc, Need need) {
  require(add_number<double>(impl_->app, name, value, doc, parse_real, "NUMBER"), need);
}

void CommandLine::option(const std::string& name, std::vector<std::string>& value, const std::string& doc, Need need) {
  CLI::Option* option = impl_->app.add_option(name, value, doc)->type_name("TEXT");
  require(option->allow_extra_args(false), need);  // one word an occurrence
}

void CommandLine::positional(const std::string& name, std::string& value, const std::string& doc, Need need) {
  require(impl_->app.add_option(name, value, doc)->type_name(""), need);
}

void CommandLine::positional(const std::string& name, std::vector<std::string>& value, const std::string& doc,
                             Need need) {
  require(impl_->app.add_option(name, value, doc)->type_name(""), need);
}

bool CommandLine::parse() {
  std::vector<std::string> reversed(impl_->words.rbegin(), impl_->words.rend());  // CLI11 takes them from the back
  try {
    impl_->app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    print(impl_->app.help());
    return false;
  } catch (const CLI::ParseError& error) {
    const std::string help = cat("; see `", impl_->app.get_name(), " --help`");
    const std::vector<std::string> extra = impl_->app.remaining();
    if (extra.empty()) throw ConfigError(cat(error.what(), help));
    std::vector<std::string> names;
    for (const CLI::Option* option : impl_->app.get_options())
      if (!option->get_positional()) names.push_back(option->get_name());
    const std::vector<std::string_view> known(names.begin(), names.end());
    throw ConfigError(cat("unexpected '", extra.front(), "'", did_you_mean(extra.front(), known), help));
  }
  return true;
}

}  // namespace trireme
