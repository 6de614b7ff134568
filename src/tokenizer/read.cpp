#include "tokenizer/read.h"

#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr char kEndOfText[] = "<|endoftext|>";

/// Runs fn; a ConfigError from within gets the name of the file in front.
template <class F>
auto in_file(const std::string& path, F&& fn) {
  try {
    return fn();
  } catch (const ConfigError& e) {
    throw ConfigError(cat(path, ": ", e.what()));
  }
}

bool is_set(const Json* value) { return value != nullptr && !value->is_null(); }

TokenizerSpec read_file_pair(const std::string& folder, SpecialTokens special, bool configured) {
  const std::string vocab_path = folder + "/vocab.json", merges_path = folder + "/merges.txt";
  const Json vocab = read_json(vocab_path);
  if (!vocab.is_object()) {
    throw IoError(cat(vocab_path, ": expected an object {token: id}, found ", kind_name(vocab.kind())));
  }
  if (!configured && vocab.find(kEndOfText) != nullptr) {  // GPT-2's own two files say nothing of it
    special.add(kEndOfText, std::nullopt);
    special.roles["eos_token"] = kEndOfText;
  }
  in_file(folder, [&] { special.require_plain(); });
  return make_spec({vocab, parse_merges(read_file(merges_path), merges_path), vocab_path, merges_path}, special);
}

/// Other classes read the same two files but split the text differently.
void require_gpt2_class(const Json& config) {
  const Json* name = config.find("tokenizer_class");
  if (is_set(name) && !starts_with(name->as_string(), "GPT2Tokenizer")) {
    throw ConfigError(cat("line ", name->line, ": tokenizer_class ", name->as_string(),
                          " is not supported from vocab.json and merges.txt; expected GPT2Tokenizer"));
  }
  require_value(config, "add_prefix_space", false, "as in GPT-2's byte-level BPE");
}

}  // namespace

void require_value(const Json& object, const char* key, const Json& wanted, std::string_view reason) {
  const Json* value = object.find(key);
  if (value == nullptr || value->is_null() || value->dump() == wanted.dump()) return;
  throw ConfigError(cat("line ", value->line, ": ", key, " ", value->dump().substr(0, 80),
                        " is not supported; expected ", wanted.dump(), ", ", reason));
}

void SpecialTokens::add(const std::string& text, std::optional<int64_t> id, const AddedEntry& rules) {
  if (text.empty()) throw ConfigError("a special token is empty");
  if (id && (*id < 0 || *id > std::numeric_limits<int32_t>::max())) {
    throw ConfigError(cat("special token '", text, "' has the impossible id ", *id));
  }
  std::optional<int32_t>& known = tokens.emplace(text, rules).first->second.id;
  if (id && known && *known != *id) throw ConfigError(cat("special token '", text, "' has ids ", *known, " and ", *id));
  if (id) known = static_cast<int32_t>(*id);
}

void SpecialTokens::add_token(const Json& entry, std::optional<int64_t> id) {
  const auto flag = [&](const char* key, bool absent) {
    const Json* value = entry.find(key);
    return is_set(value) ? value->as_bool() : absent;
  };
  AddedEntry rules;
  rules.special = flag("special", false);
  rules.rules.lstrip = flag("lstrip", false);
  rules.rules.rstrip = flag("rstrip", false);
  rules.rules.single_word = flag("single_word", false);
  rules.rules.normalized = flag("normalized", !rules.special);
  add(entry.at("content").as_string(), id, rules);
}

void SpecialTokens::require_plain() const {
  for (const auto& [text, entry] : tokens) {
    const AddedToken& rules = entry.rules;
    const char* fault = !entry.special      ? "is not special"
                        : rules.lstrip      ? "has lstrip"
                        : rules.rstrip      ? "has rstrip"
                        : rules.single_word ? "has single_word"
                                            : nullptr;
    if (fault != nullptr) {
      throw ConfigError(cat("the added token '", text, "' ", fault,
                            ", which is supported from a tokenizer.json only, not from vocab.json and merges.txt"));
    }
  }
}

void SpecialTokens::add_config(const Json& config) {
  const auto content = [](const Json& value) {
    return value.is_object() ? value.at("content").as_string() : value.as_string();
  };
  if (const Json* added = config.find("added_tokens_decoder"); is_set(added)) {
    for (const auto& [key, entry] : added->members()) {
      int64_t id = 0;
      if (!parse_integer(key, id)) {
        throw ConfigError(cat("line ", entry.line, ": the id '", key, "' of an added token is no number"));
      }
      add_token(entry, id);
    }
  }
  for (const auto& [key, value] : config.members()) {
    if (!ends_with(key, "_token") || !(value.is_string() || value.is_object())) continue;
    add(content(value), std::nullopt);
    roles[key] = content(value);
  }
  if (const Json* more = config.find("additional_special_tokens"); is_set(more)) {
    for (const Json& value : more->items()) add(content(value), std::nullopt);
  }
}

std::vector<MergeText> parse_merges(std::string_view text, const std::string& where) {
  std::vector<MergeText> out;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (ends_with(line, "\r")) line.remove_suffix(1);
    if (starts_with(line, "#version") || (line.empty() && begin >= text.size())) continue;
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw IoError(cat(where, ": line ", number, ": expected two tokens with one space between them, found '",
                        line.substr(0, 80), "'"));
    }
    out.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1)), number});
  }
  return out;
}

TokenizerSpec read_tokenizer(const TokenizerPlace& place) {
  const std::string& folder = place.folder;
  const auto has = [&](const char* name) { return std::filesystem::exists(folder + "/" + name); };
  SpecialTokens special;
  bool configured = false;
  const std::string complete = place.main == "tokenizer.json" ? folder + "/tokenizer.json" : "";
  if (complete.empty() && (!has("vocab.json") || !has("merges.txt"))) {
    throw IoError(cat(
        folder, ": no tokenizer here: expected tokenizer.json, tokenizer.model, *.tiktoken, vocabs.txt, vocab.txt, ",
        "or vocab.json and merges.txt; `trireme tokenizer train` makes one"));
  }
  if (has("added_tokens.json")) {
    const std::string path = folder + "/added_tokens.json";
    in_file(path, [&] {
      const Json added = read_json(path);
      for (const auto& [text, id] : added.members()) special.add(text, id.as_integer());
    });
  }
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!has(name)) continue;
    configured = true;
    const std::string path = folder + "/" + name;
    in_file(path, [&] {
      const Json config = read_json(path);
      if (complete.empty()) require_gpt2_class(config);
      special.add_config(config);
    });
  }
  if (complete.empty()) return read_file_pair(folder, special, configured);
  const Json root = read_json(complete);
  return in_file(complete, [&] { return make_json_spec(root, std::move(special)); });
}

}  // namespace trireme
