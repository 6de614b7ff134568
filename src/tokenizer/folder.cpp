#include "tokenizer/folder.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

namespace files = std::filesystem;

constexpr const char* kRankEnding = ".tiktoken";
constexpr std::array kBeforeRanks = {"tokenizer.json", "tokenizer.model"};
constexpr std::array kBehindRanks = {"vocabs.txt", "vocab.txt", "vocab.json"};
// Beside the main file; vocab.json too may lie beside a tokenizer.json.
constexpr std::array kOthers = {
    "vocab.json",          "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "dict.txt",   "prob_start.py",         "prob_trans.py",           "prob_emit.py"};
constexpr const char* kFurtherTemplates = "additional_chat_templates";

bool is_main(const std::string& name) {
  const auto is_name = [&](const char* known) { return name == known; };
  return std::any_of(kBeforeRanks.begin(), kBeforeRanks.end(), is_name) ||
         std::any_of(kBehindRanks.begin(), kBehindRanks.end(), is_name) || ends_with(name, kRankEnding);
}

/// Names in a folder that end so, in order.
std::vector<std::string> names_ending(const files::path& folder, std::string_view ending) {
  std::vector<std::string> names;
  if (!files::is_directory(folder)) return names;
  for (const auto& entry : files::directory_iterator(folder)) {
    if (ends_with(entry.path().filename().string(), ending)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TokenizerPlace find_tokenizer(const std::string& path) {
  if (files::is_regular_file(path)) {
    const files::path file(path);
    TokenizerPlace place{file.has_parent_path() ? file.parent_path().string() : ".", file.filename().string()};
    if (is_main(place.main)) return place;
    throw ConfigError(cat(path, ": expected a tokenizer.json, tokenizer.model, *.tiktoken, vocabs.txt, vocab.txt or ",
                          "vocab.json, or a folder that has one"));
  }
  const auto has = [&](const char* name) { return files::exists(cat(path, "/", name)); };
  for (const char* name : kBeforeRanks) {
    if (has(name)) return {path, name};
  }
  const std::vector<std::string> ranks = names_ending(path, kRankEnding);
  if (ranks.size() > 1) {
    throw ConfigError(cat(path, ": several rank files, ", ranks[0], " and ", ranks[1], "; name one of them"));
  }
  if (!ranks.empty()) return {path, ranks[0]};
  for (const char* name : kBehindRanks) {
    if (has(name)) return {path, name};
  }
  return {path, ""};
}

bool has_tokenizer(const std::string& path) { return !find_tokenizer(path).main.empty(); }

std::vector<std::string> tokenizer_files(const TokenizerPlace& place) {
  std::vector<std::string> names;
  if (!place.main.empty()) names.push_back(place.main);
  for (const char* name : kOthers) {
    if (name != place.main && files::exists(cat(place.folder, "/", name))) names.emplace_back(name);
  }
  for (const std::string& name : names_ending(cat(place.folder, "/", kFurtherTemplates), ".jinja")) {
    names.push_back(cat(kFurtherTemplates, "/", name));
  }
  return names;
}

}  // namespace trireme
