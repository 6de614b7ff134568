// trireme data info and data merge: token files as they are.
#include <algorithm>

#include "app/commands.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "data/indexed.h"
#include "data/merge.h"
#include "data/token_file_info.h"

namespace trireme {
namespace {

std::string type_name(TokenType type) {
  switch (type) {
    case TokenType::u8: return "uint8";
    case TokenType::i8: return "int8";
    case TokenType::i16: return "int16";
    case TokenType::u16: return "uint16";
    case TokenType::i32: return "int32";
    case TokenType::i64: break;
  }
  return "int64";
}

Json describe(const IndexedDataset& data) {
  int64_t shortest = 0, longest = 0, empty = 0;
  for (int64_t d = 0; d < data.num_documents(); ++d) {
    const int64_t length = data.document_length(d);
    shortest = d == 0 ? length : std::min(shortest, length);
    longest = std::max(longest, length);
    empty += length == 0;
  }
  Json out = Json::object();
  out["format"] = data.format();
  out["type"] = type_name(data.type());
  out["documents"] = data.num_documents();
  out["sequences"] = data.num_sequences();
  out["tokens"] = data.num_tokens();
  out["shortest_document"] = shortest;
  out["longest_document"] = longest;
  out["empty_documents"] = empty;
  if (const auto info = read_token_file_info(data.prefix())) {
    out["tokenizer"] = info->tokenizer;
    out["vocab_size"] = info->vocab_size;
    out["append_eos"] = info->append_eos;
    out["text_bytes"] = info->text_bytes;
    out["sources"] = Json::array();
    for (const TokenFileInfo::Source& source : info->sources) out["sources"].push_back(source.file);
  }
  return out;
}

}  // namespace

int cmd_data_info(CommandLine& line) {
  std::string prefix;
  bool json = false;
  line.positional("PREFIX", prefix, "token files of Megatron-LM, PaddleFleetX or llm.c");
  line.flag("--json", json, "print one JSON object");
  line.example("trireme data info data/poems");
  if (!line.parse()) return kDone;
  const Json facts = describe(IndexedDataset(prefix));
  if (json) {
    print(facts.dump() + "\n");
    return kDone;
  }
  for (const auto& [key, value] : facts.members())
    print(cat(key, ": ", value.is_string() ? value.as_string() : value.dump(), "\n"));
  return kDone;
}

int cmd_data_merge(CommandLine& line) {
  std::vector<std::string> words;
  line.positional("OUT IN", words, "prefix of the files to write, then those of the files to take, in this order");
  line.example("trireme data merge data/all data/poems data/novels");
  if (!line.parse()) return kDone;
  if (words.size() < 2) throw ConfigError("data merge needs OUT and at least one IN; see `trireme data merge --help`");
  const TokenCount count = merge_token_files(words[0], {words.begin() + 1, words.end()});
  log_info(cat("token files ", words[0], ".bin, .idx: ", count.documents, " documents, ", count.tokens, " tokens"));
  return kDone;
}

}  // namespace trireme
