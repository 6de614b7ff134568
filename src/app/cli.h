// The command line of one subcommand: it declares its words as variables of its own, then parses. Everything the user
// wrote wrong becomes a ConfigError; CLI11 does the work in cli.cpp and is seen nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

class CommandLine {
 public:
  /// `name` as typed after "trireme", `words` what follows it.
  CommandLine(std::string_view name, std::string_view summary, std::vector<std::string> words);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// A line for --help that works when pasted.
  void example(std::string_view text);

  void flag(const std::string& name, bool& value, const std::string& doc);

  /// Options and positionals keep the value they have where the user gives none. `required`: he must.
  /// A vector takes each occurrence of an option, or all remaining positional words.
  enum class Need { optional, required };
  void option(const std::string& name, std::string& value, const std::string& doc, Need need = Need::optional);
  void option(const std::string& name, int64_t& value, const std::string& doc, Need need = Need::optional);
  void option(const std::string& name, double& value, const std::string& doc, Need need = Need::optional);
  void option(const std::string& name, std::vector<std::string>& value, const std::string& doc,
              Need need = Need::optional);
  void positional(const std::string& name, std::string& value, const std::string& doc, Need need = Need::required);
  void positional(const std::string& name, std::vector<std::string>& value, const std::string& doc,
                  Need need = Need::required);

  /// Fills the variables. False where --help was asked for and has been printed: the command is then done.
  /// ConfigError for unknown options, missing or malformed values.
  bool parse();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
