#include "tokenizer/read_parts.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/cpm_vocabulary.h"
#include "tokenizer/jieba.h"
#include "tokenizer/read.h"
#include "tokenizer/sentencepiece.h"

namespace trireme {
namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kSideFiles[] = {"added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"};

/// What the JSON files beside a vocabulary say.
struct SideFiles {
  SpecialTokens special;
  SpmOptions spm;
};

SideFiles read_side_files(const std::string& folder, Files& files) {
  SideFiles side;
  for (const char* name : kSideFiles) {
    const std::string path = cat(folder, "/", name);
    if (!std::filesystem::exists(path)) continue;
    files.emplace_back(name, read_file(path));
    const Json json = Json::parse(files.back().second, path);
    try {
      if (name == std::string_view("added_tokens.json")) {
        for (const auto& [text, id] : json.members()) side.special.add(text, id.as_integer());
        continue;
      }
      side.special.add_config(json);
      const auto flag = [&](const char* key, bool& value) {
        if (const Json* found = json.find(key); found != nullptr && !found->is_null()) value = found->as_bool();
      };
      flag("legacy", side.spm.legacy);
      flag("add_prefix_space", side.spm.add_prefix_space);
    } catch (const ConfigError& e) {
      throw ConfigError(cat(path, ": ", e.what()));
    }
  }
  return side;
}

/// Adds the added tokens of the side files: those of the vocabulary by their text, others behind it.
void add_tokens(TokenizerSpec& spec, const SpecialTokens& added, const std::string& where) {
  std::map<std::string_view, int32_t> known;
  for (size_t id = 0; id < spec.tokens.size(); ++id) known.emplace(spec.tokens[id], static_cast<int32_t>(id));
  std::map<std::string, int32_t> ids;
  std::map<int32_t, std::string> further;
  for (const auto& [text, entry] : added.tokens) {
    const auto found = known.find(text);
    if (found == known.end() && !entry.id) {
      throw IoError(cat(where, ": the added token '", text, "' is not in the vocabulary"));
    }
    const int32_t id = found != known.end() ? found->second : *entry.id;
    if (entry.id.value_or(id) != id) {
      throw IoError(cat(where, ": the added token '", text, "' has id ", id, " here, but ", *entry.id, " beside it"));
    }
    ids[text] = id;
    if (found == known.end()) further[id] = text;
  }
  for (const auto& [id, text] : further) {
    if (id != static_cast<int64_t>(spec.tokens.size())) {
      throw IoError(cat(where, ": the added token '", text, "' has id ", id, ", expected ", spec.tokens.size(),
                        ": added tokens follow the vocabulary without holes"));
    }
    spec.tokens.push_back(text);
  }
  for (const auto& [text, id] : ids) {
    const AddedEntry& entry = added.tokens.at(text);
    spec.added.push_back(entry.rules);
    spec.added.back().id = id;
    spec.added.back().content = text;
    spec.added.back().normalized = false;  // the text is matched as it is
    if (entry.special) spec.special.push_back(id);
  }
  std::sort(spec.special.begin(), spec.special.end());
  spec.special.erase(std::unique(spec.special.begin(), spec.special.end()), spec.special.end());
  for (const auto& [role, text] : added.roles) spec.roles[role] = ids.at(text);
}

TokenizerParts read_sentencepiece(const std::string& folder) {
  const std::string path = cat(folder, "/tokenizer.model");
  Files files;
  files.emplace_back("tokenizer.model", read_file(path));
  SpmModel model = read_spm(files.back().second, path);
  const SideFiles side = read_side_files(folder, files);
  TokenizerParts parts{spm_spec(model), nullptr, nullptr, {}};
  add_tokens(parts.spec, side.special, path);
  parts.model = std::make_unique<SentencePiece>(std::move(model), parts.spec, side.spm, path);
  parts.files = std::move(files);
  return parts;
}

TokenizerParts read_cpm(const std::string& folder, const std::string& name) {
  const std::string path = cat(folder, "/", name);
  Files files;
  files.emplace_back(name, read_file(path));
  CpmVocabulary vocabulary = read_cpm_vocabulary(files.back().second, path);
  TokenizerParts parts{vocabulary.spec, nullptr, nullptr, {}};
  parts.model = std::make_unique<CpmTokenizer>(std::move(vocabulary));
  parts.files = std::move(files);
  return parts;
}

TokenizerParts read_jieba_bpe(const std::string& folder) {
  Files files;
  for (const char* name : {"dict.txt", "prob_start.py", "prob_trans.py", "prob_emit.py", "tokenizer.json"}) {
    const std::string path = cat(folder, "/", name);
    if (!std::filesystem::exists(path)) {
      throw IoError(cat(path,
                        ": no such file; jieba's dict.txt goes with prob_start.py, prob_trans.py and prob_emit.py of ",
                        "the package's folder finalseg"));
    }
    files.emplace_back(name, read_file(path));
  }
  JiebaModel model(files[1].second, files[2].second, files[3].second, folder);
  Jieba jieba(files[0].second, cat(folder, "/dict.txt"), std::move(model));
  for (const char* name : kSideFiles) {
    if (const std::string path = cat(folder, "/", name); std::filesystem::exists(path)) {
      files.emplace_back(name, read_file(path));
    }
  }
  return {read_tokenizer(folder), nullptr, std::make_unique<Jieba>(std::move(jieba)), std::move(files)};
}

}  // namespace

TokenizerParts read_parts(const std::string& folder) {
  const auto has = [&](const char* name) { return std::filesystem::exists(cat(folder, "/", name)); };
  if (!has("tokenizer.json")) {
    if (has("tokenizer.model")) return read_sentencepiece(folder);
    for (const char* name : {"vocabs.txt", "vocab.txt"}) {
      if (has(name)) return read_cpm(folder, name);
    }
  } else if (has("dict.txt")) {
    return read_jieba_bpe(folder);
  }
  return {read_tokenizer(folder), nullptr, nullptr, {}};
}

}  // namespace trireme
