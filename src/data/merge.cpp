#include "data/merge.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "data/indexed.h"
#include "data/token_file_info.h"

namespace trireme {
namespace {

constexpr int64_t kPiece = int64_t{1} << 20;  // ids in memory

/// The type that holds the ids of all: theirs where they agree.
TokenType common_type(const std::vector<IndexedDataset>& sets) {
  const TokenType first = sets[0].type();
  if (std::all_of(sets.begin(), sets.end(), [&](const IndexedDataset& set) { return set.type() == first; }))
    return first;
  const bool narrow =
      std::all_of(sets.begin(), sets.end(), [](const IndexedDataset& set) { return token_size(set.type()) <= 2; });
  return narrow ? TokenType::u16 : TokenType::i32;
}

/// What the files were made of together; nothing where one of them does not say.
std::optional<TokenFileInfo> common_info(const std::vector<std::string>& inputs) {
  std::optional<TokenFileInfo> sum;
  bool all = true;
  std::string first;
  for (const std::string& input : inputs) {
    const std::optional<TokenFileInfo> info = read_token_file_info(input);
    all &= info.has_value();
    if (!info) continue;
    if (!sum) {
      sum = info;
      first = input;
      continue;
    }
    if (info->tokenizer != sum->tokenizer)
      throw ConfigError(cat(input, ".meta.json: made with the tokenizer ", info->tokenizer, ", ", first, " with ",
                            sum->tokenizer, "; their ids mean different text: prepare one of them again"));
    sum->append_eos &= info->append_eos;
    sum->sources.insert(sum->sources.end(), info->sources.begin(), info->sources.end());
    sum->documents += info->documents;
    sum->empty_documents += info->empty_documents;
    sum->tokens += info->tokens;
    sum->text_bytes += info->text_bytes;
    sum->longest_document = std::max(sum->longest_document, info->longest_document);
  }
  return all ? sum : std::nullopt;
}

void copy_sequence(IndexedWriter& writer, const IndexedDataset& set, int64_t sequence, std::vector<int32_t>& ids) {
  const int64_t length = set.sequence_length(sequence);
  for (int64_t done = 0; done < length; done += kPiece) {
    ids.resize(static_cast<size_t>(std::min(kPiece, length - done)));
    set.read_sequence(ids, sequence, done);
    writer.add_ids(ids);
  }
  writer.end_sequence();
}

}  // namespace

TokenCount merge_token_files(const std::string& out, const std::vector<std::string>& inputs, FileSystem& fs) {
  std::vector<IndexedDataset> sets;
  for (const std::string& input : inputs) {
    if (std::filesystem::weakly_canonical(input) == std::filesystem::weakly_canonical(out))
      throw ConfigError(cat(out, ": the merged files cannot take the place of one of those they are made of"));
    sets.emplace_back(input);
  }
  const std::optional<TokenFileInfo> info = common_info(inputs);
  if (const std::string folder = std::filesystem::path(out).parent_path().string(); !folder.empty())
    fs.make_directory(folder);
  IndexedWriter writer(out, common_type(sets), fs);
  std::vector<int32_t> ids;
  for (const IndexedDataset& set : sets) {
    for (int64_t d = 0; d < set.num_documents(); ++d) {
      for (int64_t s = set.document_begin(d); s < set.document_begin(d + 1); ++s) copy_sequence(writer, set, s, ids);
      writer.end_document();
    }
  }
  writer.commit(info ? info->str() : "");
  return writer.count();
}

}  // namespace trireme
