#include "chat/chat_template.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

/// What transformers makes of a message before the template sees it.
Json prepared(const Json& message, size_t number) {
  if (!message.is_object()) {
    throw ConfigError(
        cat("message ", number, ": expected an object with role and content, found ", kind_name(message.kind())));
  }
  const Json* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const Json* found = message.find(name);
    if (reasoning == nullptr && found != nullptr && !found->is_null()) reasoning = found;
  }
  Json out = Json::object();
  if (reasoning != nullptr) out.members().emplace_back("thinking", *reasoning);
  for (const auto& [key, value] : message.members()) {
    if (value.is_null()) continue;
    if (reasoning != nullptr && key == "thinking")
      out.members()[0].second = value;
    else
      out.members().emplace_back(key, value);
  }
  if (reasoning != nullptr) out["reasoning_content"] = Json(*reasoning);
  return out;
}

Json prepared_messages(const Json& messages) {
  if (!messages.is_array()) {
    throw ConfigError(cat("expected a list of messages, found ", kind_name(messages.kind())));
  }
  Json out = Json::array();
  for (const Json& message : messages.items()) out.push_back(prepared(message, out.size() + 1));
  return out;
}

}  // namespace

void ChatTemplate::add(std::string name, std::string source, std::string where) {
  Entry entry{std::move(name), std::nullopt, {}};
  try {
    entry.compiled.emplace(source, std::move(where));
  } catch (const ConfigError& error) {
    entry.error = error.what();
  }
  templates_.push_back(std::move(entry));
}

void ChatTemplate::add_files(const std::string& folder) {
  const auto read = [](const std::string& path) { return read_file(path, jinja::kMaxTemplateBytes); };
  const std::string main = folder + "/chat_template.jinja", others = folder + "/additional_chat_templates";
  if (std::filesystem::exists(main)) add("default", read(main), main);
  if (!std::filesystem::is_directory(others)) return;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(others)) {
    if (entry.path().extension() == ".jinja") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) add(file.stem().string(), read(file.string()), file.string());
}

void ChatTemplate::add_config(const Json& config, const std::string& path) {
  const Json* source = config.find("chat_template");
  if (source == nullptr || source->is_null()) return;
  const auto where = [&](std::string_view name) { return cat(path, ": chat_template", name.empty() ? "" : " ", name); };
  if (source->is_string()) return add("default", source->as_string(), where(""));
  for (const Json& entry : source->items()) {
    const std::string& name = entry.at("name").as_string();
    add(name, entry.at("template").as_string(), where(name));
  }
}

void ChatTemplate::add_special_tokens(const Json& config) {
  for (const char* name : kSpecialTokens) {
    const Json* token = config.find(name);
    const auto known = [&](const auto& entry) { return entry.first == name; };
    if (token == nullptr || token->is_null() || std::any_of(special_tokens_.begin(), special_tokens_.end(), known)) {
      continue;
    }
    special_tokens_.emplace_back(name, token->is_object() ? token->at("content").as_string() : token->as_string());
  }
}

ChatTemplate ChatTemplate::load(const std::string& folder) {
  ChatTemplate out;
  out.folder_ = folder;
  out.add_files(folder);
  const bool has_files = !out.templates_.empty();
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string path = cat(folder, "/", name);
    if (!std::filesystem::exists(path)) continue;
    const Json config = read_json(path);
    try {
      if (!config.is_object()) throw ConfigError(cat("expected an object, found ", kind_name(config.kind())));
      if (!has_files && out.templates_.empty()) out.add_config(config, path);
      out.add_special_tokens(config);
    } catch (const ConfigError& error) {
      throw ConfigError(cat(path, ": ", error.what()));
    }
  }
  if (out.templates_.empty()) {
    throw ConfigError(cat(folder,
                          ": no chat template here: expected chat_template.jinja, or the key chat_template in "
                          "tokenizer_config.json; only chat models have one"));
  }
  return out;
}

std::vector<std::string> ChatTemplate::names() const {
  std::vector<std::string> out;
  for (const Entry& entry : templates_) out.push_back(entry.name);
  return out;
}

const Template& ChatTemplate::choose(const ChatOptions& options) const {
  const auto find = [&](std::string_view name) {
    const auto found =
        std::find_if(templates_.begin(), templates_.end(), [&](auto& entry) { return entry.name == name; });
    return found == templates_.end() ? nullptr : &*found;
  };
  const Entry* entry = options.name.empty() ? nullptr : find(options.name);
  if (options.name.empty() && !options.tools.is_null()) entry = find("tool_use");
  if (options.name.empty() && entry == nullptr) entry = find("default");
  if (entry == nullptr) {
    std::string all;
    for (const Entry& other : templates_) all += (all.empty() ? "" : ", ") + other.name;
    throw ConfigError(cat(folder_, ": no chat template named '", options.name.empty() ? "default" : options.name,
                          "'; there are: ", all));
  }
  if (!entry->compiled) throw ConfigError(entry->error);
  return *entry->compiled;
}

RenderedText ChatTemplate::apply(const Json& messages, const ChatOptions& options) const {
  const Template& chosen = choose(options);
  Json variables = Json::object();
  for (const auto& [name, text] : special_tokens_) variables.members().emplace_back(name, text);
  for (const auto& [name, value] : options.variables.members()) {
    if (name == "messages" || name == "tools" || name == "documents" || name == "add_generation_prompt") {
      throw ConfigError(cat("the variable '", name, "' of a chat template cannot be set"));
    }
    variables[name] = value;
  }
  variables.members().emplace_back("messages", prepared_messages(messages));
  variables.members().emplace_back("tools", options.tools);
  variables.members().emplace_back("documents", options.documents);
  variables.members().emplace_back("add_generation_prompt", options.add_generation_prompt);
  return chosen.render(variables, options.now, options.limits);
}

}  // namespace trireme
