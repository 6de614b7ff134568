#include "data/prepare.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/hash.h"
#include "base/json.h"
#include "data/indexed.h"

namespace trireme {
namespace {

constexpr size_t kBlockBytes = size_t{4} << 20;
constexpr size_t kBlockDocuments = 8192;

/// Documents back to back and, once encoded, their ids. Its memory is kept from block to block.
struct Block {
  std::string text;
  std::vector<size_t> ends;
  std::vector<std::vector<int32_t>> ids;

  std::string_view document(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(text).substr(begin, ends[i] - begin);
  }
};

/// Refills `block` with non-empty documents; false where the reader had none.
bool read_block(Block& block, DocumentReader& reader, TokenFileInfo& info) {
  block.text.clear();
  block.ends.clear();
  while (block.text.size() < kBlockBytes && block.ends.size() < kBlockDocuments && reader.next(block.text)) {
    if (block.text.size() > (block.ends.empty() ? 0 : block.ends.back()))
      block.ends.push_back(block.text.size());
    else
      ++info.empty_documents;
  }
  return !block.ends.empty();
}

void encode_block(Block& block, const PrepareOptions& options, EncodeFunction encode, ThreadPool& pool) {
  const size_t count = block.ends.size();
  if (block.ids.size() < count) block.ids.resize(count);
  pool.parallel_for_dynamic(static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t end, int thread) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      block.ids[i].clear();
      encode(block.ids[i], block.document(i), thread);
      if (options.append_eos) block.ids[i].push_back(options.eos_id);
    }
  });
}

void write_block(const Block& block, const PrepareOptions& options, const std::string& source, IndexedWriter& writer,
                 TokenFileInfo& info) {
  for (size_t i = 0; i < block.ends.size(); ++i) {
    const std::vector<int32_t>& ids = block.ids[i];
    const auto bad =
        std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id < 0 || id >= options.vocab_size; });
    if (bad != ids.end())
      throw ConfigError(cat(source, ": document ", info.documents, " of ", options.prefix, " has the id ", *bad,
                            ", the vocabulary has ", options.vocab_size,
                            " ids from 0 on; check the tokenizer's files"));
    writer.add_sequence(ids);
    writer.end_document();
    ++info.documents;
    info.longest_document = std::max(info.longest_document, static_cast<int64_t>(ids.size()));
  }
  info.text_bytes += static_cast<int64_t>(block.text.size());
  info.tokens = writer.num_tokens();
}

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

TokenFileInfo prepare(const PrepareOptions& options, EncodeFunction encode, ThreadPool& pool,
                      FunctionRef<void(const PrepareProgress&)> progress, FileSystem& fs) {
  CHECK(options.vocab_size > 0, "a vocabulary of ", options.vocab_size);
  TokenFileInfo info;
  info.tokenizer = hex(options.tokenizer);
  info.vocab_size = options.vocab_size;
  info.column = options.text.column;
  info.document_separator = options.text.document_separator;
  info.append_eos = options.append_eos;
  PrepareProgress state;
  for (const std::string& source : options.sources) {
    info.sources.push_back({source, static_cast<int64_t>(MappedFile(source).bytes().size())});
    state.total_bytes += info.sources.back().bytes;
  }

  if (const std::string folder = std::filesystem::path(options.prefix).parent_path().string(); !folder.empty())
    fs.make_directory(folder);
  IndexedWriter writer(options.prefix, token_type_for(options.vocab_size), fs);
  Block block;
  int64_t bytes_before = 0;
  for (const TokenFileInfo::Source& source : info.sources) {
    const std::unique_ptr<DocumentReader> reader = open_documents(source.file, options.text);
    const int64_t documents_before = info.documents;
    while (read_block(block, *reader, info)) {
      encode_block(block, options, encode, pool);
      write_block(block, options, source.file, writer, info);
      failpoint("prepare.block");
      state.bytes = bytes_before + static_cast<int64_t>(reader->position());
      state.documents = info.documents;
      state.tokens = info.tokens;
      progress(state);
    }
    if (info.documents == documents_before) throw IoError(cat(source.file, ": there is no text in this file"));
    bytes_before += source.bytes;
  }
  writer.commit(to_json(info).dump(2) + "\n");
  return info;
}

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
