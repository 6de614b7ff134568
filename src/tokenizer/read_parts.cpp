#include "tokenizer/read_parts.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "tokenizer/cpm_vocabulary.h"
#include "tokenizer/folder.h"
#include "tokenizer/jieba.h"
#include "tokenizer/rank_file.h"
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
  std::string pattern;  // of a rank file
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
      if (const Json* pattern = json.find("pat_str"); pattern != nullptr && !pattern->is_null()) {
        side.pattern = pattern->as_string();
      }
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

Files main_file(const TokenizerPlace& place) {
  Files files;
  files.emplace_back(place.main, read_file(cat(place.folder, "/", place.main)));
  return files;
}

/// `files`: its first is the one with the ranks.
TokenizerParts read_ranks(const TokenizerPlace& place, Files files) {
  const std::string path = cat(place.folder, "/", place.main);
  SideFiles side = read_side_files(place.folder, files);
  TokenizerParts parts{
      read_rank_file({files[0].second, place.main, path, side.pattern}, std::move(side.special)), nullptr, nullptr, {}};
  parts.files = std::move(files);
  return parts;
}

/// SentencePiece's file, or Llama 3's of the same name.
TokenizerParts read_model_file(const TokenizerPlace& place) {
  const std::string path = cat(place.folder, "/", place.main);
  Files files = main_file(place);
  if (is_rank_file(files[0].second)) return read_ranks(place, std::move(files));
  SpmModel model = read_spm(files.back().second, path);
  const SideFiles side = read_side_files(place.folder, files);
  TokenizerParts parts{spm_spec(model), nullptr, nullptr, {}};
  add_tokens(parts.spec, side.special, path);
  parts.model = std::make_unique<SentencePiece>(std::move(model), parts.spec, side.spm, path);
  parts.files = std::move(files);
  return parts;
}

TokenizerParts read_cpm(const TokenizerPlace& place) {
  const std::string path = cat(place.folder, "/", place.main);
  Files files = main_file(place);
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
  return {read_tokenizer({folder, "tokenizer.json"}), nullptr, std::make_unique<Jieba>(std::move(jieba)),
          std::move(files)};
}

}  // namespace

TokenizerParts read_parts(const std::string& path) {
  const TokenizerPlace place = find_tokenizer(path);
  if (ends_with(place.main, ".model")) return read_model_file(place);
  if (ends_with(place.main, ".tiktoken")) return read_ranks(place, main_file(place));
  if (ends_with(place.main, ".txt")) return read_cpm(place);
  if (place.main == "tokenizer.json" && std::filesystem::exists(cat(place.folder, "/dict.txt"))) {
    return read_jieba_bpe(place.folder);
  }
  return {read_tokenizer(place), nullptr, nullptr, {}};
}

}  // namespace trireme
