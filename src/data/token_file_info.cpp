#include "data/token_file_info.h"

#include <filesystem>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"

namespace trireme {
namespace {

Json to_json(const TokenFileInfo& info) {
  Json sources = Json::array();
  for (const TokenFileInfo::Source& source : info.sources) {
    Json item = Json::object();
    item["file"] = source.file;
    item["bytes"] = source.bytes;
    sources.push_back(item);
  }
  Json json = Json::object();
  json["format"] = "trireme token files 1";
  json["tokenizer"] = info.tokenizer;
  json["vocab_size"] = info.vocab_size;
  json["column"] = info.column;
  json["document_separator"] = info.document_separator;
  json["append_eos"] = info.append_eos;
  json["sources"] = sources;
  json["documents"] = info.documents;
  json["empty_documents"] = info.empty_documents;
  json["tokens"] = info.tokens;
  json["text_bytes"] = info.text_bytes;
  json["longest_document"] = info.longest_document;
  return json;
}

TokenFileInfo from_json(const Json& json) {
  TokenFileInfo info;
  for (const Json& item : json.at("sources").items())
    info.sources.push_back({item.at("file").as_string(), item.at("bytes").as_integer()});
  info.tokenizer = json.at("tokenizer").as_string();
  info.vocab_size = json.at("vocab_size").as_integer();
  info.column = json.at("column").as_string();
  info.document_separator = json.at("document_separator").as_string();
  info.append_eos = json.at("append_eos").as_bool();
  info.documents = json.at("documents").as_integer();
  info.empty_documents = json.at("empty_documents").as_integer();
  info.tokens = json.at("tokens").as_integer();
  info.text_bytes = json.at("text_bytes").as_integer();
  info.longest_document = json.at("longest_document").as_integer();
  return info;
}

}  // namespace

std::string TokenFileInfo::str() const { return to_json(*this).dump(2) + "\n"; }

std::optional<TokenFileInfo> read_token_file_info(const std::string& prefix) {
  const std::string path = prefix + ".meta.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json json = read_json(path);
  try {
    return from_json(json);
  } catch (const ConfigError& error) {
    throw IoError(cat(path, ": ", error.what(), "; prepare the token files again"));
  }
}

void require_tokenizer(const std::string& prefix, uint64_t tokenizer, int64_t vocab_size) {
  const std::optional<TokenFileInfo> info = read_token_file_info(prefix);
  if (!info || info->tokenizer == hex(tokenizer)) return;
  throw ConfigError(cat(prefix, ".meta.json: the token files were made with the tokenizer ", info->tokenizer, " of ",
                        info->vocab_size, " ids, this one is ", hex(tokenizer), " of ", vocab_size,
                        " ids; prepare them again with it, or name the tokenizer they were made with"));
}

}  // namespace trireme
