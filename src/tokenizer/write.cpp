#include "tokenizer/write.h"

#include <algorithm>

#include "base/json.h"
#include "tokenizer/alphabet.h"

namespace trireme {
namespace {

const std::string& token(const TokenizerSpec& spec, int32_t id) { return spec.tokens[static_cast<size_t>(id)]; }

/// As the files spell it: special tokens as they are, others in the byte alphabet.
std::string spelling(const TokenizerSpec& spec, int32_t id) {
  const bool special = std::binary_search(spec.special.begin(), spec.special.end(), id);
  return special ? token(spec, id) : spell_bytes(token(spec, id));
}

Json vocabulary(const TokenizerSpec& spec) {
  Json vocab = Json::object();
  vocab.members().reserve(spec.tokens.size());
  for (int32_t id = 0; id < static_cast<int32_t>(spec.tokens.size()); ++id) {
    vocab.members().emplace_back(spelling(spec, id), id);
  }
  return vocab;
}

std::string merge_line(const TokenizerSpec& spec, const Merge& merge) {
  return spelling(spec, merge.left) + " " + spelling(spec, merge.right);
}

Json added_token(const std::string& content) {
  Json entry = Json::object();
  entry["content"] = content;
  for (const char* flag : {"lstrip", "normalized", "rstrip", "single_word"}) entry[flag] = false;
  entry["special"] = true;
  return entry;
}

Json byte_level() {
  Json stage = Json::object();
  stage["type"] = "ByteLevel";
  stage["add_prefix_space"] = false;
  stage["trim_offsets"] = true;
  stage["use_regex"] = true;
  return stage;
}

Json tokenizer_json(const TokenizerSpec& spec) {
  Json added = Json::array();
  for (const int32_t id : spec.special) {
    Json entry = added_token(token(spec, id));
    entry["id"] = id;
    added.push_back(std::move(entry));
  }
  Json merges = Json::array();
  for (const Merge& merge : spec.merges) merges.push_back(merge_line(spec, merge));

  Json model = Json::object();
  model["type"] = "BPE";
  for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
    model[key] = Json();
  }
  for (const char* key : {"fuse_unk", "byte_fallback", "ignore_merges"}) model[key] = false;
  model["vocab"] = vocabulary(spec);
  model["merges"] = std::move(merges);

  Json root = Json::object();
  root["version"] = "1.0";
  root["truncation"] = Json();
  root["padding"] = Json();
  root["added_tokens"] = std::move(added);
  root["normalizer"] = Json();
  root["pre_tokenizer"] = byte_level();
  root["post_processor"] = Json();
  root["decoder"] = byte_level();
  root["model"] = std::move(model);
  return root;
}

Json tokenizer_config(const TokenizerSpec& spec) {
  Json root = Json::object();
  root["tokenizer_class"] = "GPT2Tokenizer";
  root["add_prefix_space"] = false;
  root["clean_up_tokenization_spaces"] = false;
  Json added = Json::object();
  for (const int32_t id : spec.special) added[std::to_string(id)] = added_token(token(spec, id));
  root["added_tokens_decoder"] = std::move(added);
  // The reader's defaults name <|endoftext|>, which not every vocabulary has: null says that there is none.
  for (const char* role : {"bos_token", "eos_token", "unk_token"}) root[role] = Json();
  for (const auto& [role, id] : spec.roles) root[role] = token(spec, id);
  return root;
}

Json special_tokens_map(const TokenizerSpec& spec) {
  Json root = Json::object();
  for (const auto& [role, id] : spec.roles) root[role] = token(spec, id);
  return root;
}

}  // namespace

void write_tokenizer(const TokenizerSpec& spec, const std::string& folder, FileSystem& fs) {
  std::string merges = "#version: 0.2\n";
  for (const Merge& merge : spec.merges) merges += merge_line(spec, merge) + "\n";
  write_file(folder + "/vocab.json", vocabulary(spec).dump() + "\n", fs);
  write_file(folder + "/merges.txt", merges, fs);
  write_file(folder + "/tokenizer_config.json", tokenizer_config(spec).dump(2) + "\n", fs);
  write_file(folder + "/special_tokens_map.json", special_tokens_map(spec).dump(2) + "\n", fs);
  write_file(folder + "/tokenizer.json", tokenizer_json(spec).dump() + "\n", fs);
}

}  // namespace trireme
