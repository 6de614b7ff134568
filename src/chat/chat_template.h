// The chat template of a model folder: messages to the text that the model was taught with, as
// transformers.apply_chat_template makes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "chat/template.h"

namespace trireme {

struct ChatOptions {
  Json tools;                         // a list of JSON schemas, or null
  Json documents;                     // a list of objects, or null
  bool add_generation_prompt = true;  // end with what begins the assistant's answer
  Json variables = Json::object();    // further ones, for example enable_thinking; they win over special tokens
  std::string name;                   // of the template; empty: "tool_use" where there are tools, else "default"
  int64_t now = 0;                    // seconds since 1970, for templates that show the date
  jinja::Limits limits;
};

/// Immutable once loaded; threads may share it.
class ChatTemplate {
 public:
  /// Reads chat_template.jinja and additional_chat_templates/*.jinja of `folder`, or else the key chat_template of
  /// tokenizer_config.json (a text, or a list of {name, template}), and the special tokens of tokenizer_config.json
  /// and special_tokens_map.json. IoError for files that cannot be read; ConfigError where there is no template.
  static ChatTemplate load(const std::string& folder);

  /// Renders one conversation: a list of objects with `role` and `content`. As in transformers, keys with the value
  /// null count as missing, and `reasoning`, `thinking` and `reasoning_content` stand for one another. ConfigError
  /// for what the template refuses, with its line, and for a template that is malformed.
  RenderedText apply(const Json& messages, const ChatOptions& options) const;

  /// Names of all templates, in order.
  std::vector<std::string> names() const;

 private:
  void add(std::string name, std::string source, std::string where);
  void add_files(const std::string& folder);
  void add_config(const Json& config, const std::string& path);
  void add_special_tokens(const Json& config);
  const Template& choose(const ChatOptions& options) const;

  /// A malformed one counts only once it is chosen: models may have others that are good.
  struct Entry {
    std::string name;
    std::optional<Template> compiled;
    std::string error;
  };
  std::string folder_;
  std::vector<Entry> templates_;
  std::vector<std::pair<std::string, std::string>> special_tokens_;
};

}  // namespace trireme
