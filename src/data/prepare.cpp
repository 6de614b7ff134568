#include "data/prepare.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/ordered_work.h"
#include "data/indexed_writer.h"
#include "data/prepare_journal.h"

namespace trireme {
namespace {

constexpr size_t kBlockDocuments = 8192;

/// Documents of one source back to back and, once encoded, their ids, packed. Its memory is kept from block to block.
struct Block {
  std::string text;
  std::vector<size_t> ends;
  int64_t empty_documents = 0;
  int64_t source = 0, position = 0;  // the mark behind it
  int64_t bytes = 0;                 // of all sources, behind it

  std::vector<int32_t> ids, lengths;  // ids of the document at hand
  std::vector<std::byte> packed;
  int64_t bad_document = -1;  // the first with an id outside of the vocabulary
  int32_t bad_id = 0;

  std::string_view document(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(text).substr(begin, ends[i] - begin);
  }
};

/// Cuts the sources into blocks, one after the other.
class BlockReader {
 public:
  BlockReader(const PrepareOptions& options, const TokenFileInfo& info, const PrepareMark& from)
      : options_(options), info_(info), source_(static_cast<size_t>(from.source)), go_on_(from.position) {
    for (size_t s = 0; s < source_; ++s) bytes_before_ += info.sources[s].bytes;
  }

  /// Refills `block`; false behind the last source.
  bool read(Block& block) {
    for (;;) {
      if (source_ == info_.sources.size()) return false;
      if (!reader_) open();
      const bool ended = !fill(block);
      block.bytes = bytes_before_ + static_cast<int64_t>(reader_->file_position());
      if (ended) close();
      if (!block.ends.empty() || block.empty_documents > 0) return true;
    }
  }

 private:
  void open() {
    reader_ = open_documents(info_.sources[source_].file, options_.text);
    has_text_ = go_on_ > 0;
    if (go_on_ > 0) reader_->go_on(static_cast<uint64_t>(std::exchange(go_on_, 0)));
  }

  void close() {
    const TokenFileInfo::Source& source = info_.sources[source_++];
    if (!has_text_) throw IoError(cat(source.file, ": there is no text in this file"));
    reader_.reset();
    bytes_before_ += source.bytes;
  }

  /// False at the end of the source.
  bool fill(Block& block) {
    block.text.clear();
    block.ends.clear();
    block.empty_documents = 0;
    block.source = static_cast<int64_t>(source_);
    bool more = true;
    while (block.text.size() < static_cast<size_t>(options_.block_bytes) && block.ends.size() < kBlockDocuments) {
      more = reader_->next(block.text);
      if (!more) break;
      block.position = static_cast<int64_t>(reader_->position());
      if (block.text.size() > (block.ends.empty() ? 0 : block.ends.back()))
        block.ends.push_back(block.text.size());
      else
        ++block.empty_documents;
    }
    has_text_ |= !block.ends.empty();
    return more;
  }

  const PrepareOptions& options_;
  const TokenFileInfo& info_;
  size_t source_;
  int64_t go_on_, bytes_before_ = 0;
  std::unique_ptr<DocumentReader> reader_;
  bool has_text_ = false;  // in this source so far
};

/// The first id outside of the vocabulary, or ids.size().
size_t find_bad_id(const std::vector<int32_t>& ids, int64_t vocab_size) {
  const auto last = static_cast<uint32_t>(std::min<int64_t>(vocab_size - 1, INT32_MAX));
  uint32_t signs = 0;  // the highest bit is that of a negative id, or of a difference that is negative
  for (const int32_t id : ids) signs |= static_cast<uint32_t>(id) | (last - static_cast<uint32_t>(id));
  if (signs >> 31 == 0) return ids.size();
  return static_cast<size_t>(
      std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id < 0 || id >= vocab_size; }) - ids.begin());
}

/// Packs document by document: what is written of a block then passes the caches once.
void encode_block(Block& block, const PrepareOptions& options, EncodeFunction encode, int thread) {
  const TokenType type = token_type_for(options.vocab_size);
  block.packed.clear();
  block.lengths.clear();
  for (size_t i = 0; i < block.ends.size(); ++i) {
    block.ids.clear();
    encode(block.ids, block.document(i), thread);
    if (const size_t bad = find_bad_id(block.ids, options.vocab_size); bad < block.ids.size()) {
      block.bad_document = static_cast<int64_t>(i);
      block.bad_id = block.ids[bad];
      return;
    }
    if (options.append_eos) block.ids.push_back(options.eos_id);
    const size_t length = block.ids.size();
    if (length > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
      throw IoError(cat(options.prefix, ".idx: a document has ", length,
                        " ids, the format ends at 2147483647; split the document"));
    block.lengths.push_back(static_cast<int32_t>(length));
    pack_ids(block.packed, block.ids, type);
  }
}

void write_block(const Block& block, const PrepareOptions& options, IndexedWriter& writer, TokenFileInfo& info) {
  if (block.bad_document >= 0)
    throw ConfigError(cat(info.sources[static_cast<size_t>(block.source)].file, ": document ",
                          info.documents + block.bad_document, " of ", options.prefix, " has the id ", block.bad_id,
                          ", the vocabulary has ", options.vocab_size, " ids from 0 on; check the tokenizer's files"));
  writer.add_documents(block.packed, block.lengths);
  info.documents = writer.count().documents;
  info.tokens = writer.count().tokens;
  info.empty_documents += block.empty_documents;
  info.text_bytes += static_cast<int64_t>(block.text.size());
  for (const int32_t length : block.lengths) info.longest_document = std::max<int64_t>(info.longest_document, length);
}

TokenFileInfo describe(const PrepareOptions& options) {
  TokenFileInfo info;
  info.tokenizer = hex(options.tokenizer);
  info.vocab_size = options.vocab_size;
  info.column = options.text.column;
  info.document_separator = options.text.document_separator;
  info.append_eos = options.append_eos;
  for (const std::string& source : options.sources) {
    int64_t bytes = 0;
    for (const std::string& file : source_files(source)) bytes += static_cast<int64_t>(file_size(file));
    info.sources.push_back({source, bytes});
  }
  return info;
}

/// A number of its own for each job: options, and names, sizes and times of the sources.
uint64_t job_of(const PrepareOptions& options, const TokenFileInfo& info) {
  std::string text = cat(info.str(), options.eos_id);
  for (const std::string& source : options.sources)
    for (const std::string& file : source_files(source))
      text += cat(" ", file_size(file), " ", std::filesystem::last_write_time(file).time_since_epoch().count());
  return hash64(std::as_bytes(std::span(text)));
}

PrepareMark mark_of(const Block& block, const TokenFileInfo& info) {
  return {block.source, block.position,  info.documents,       info.empty_documents,
          info.tokens,  info.text_bytes, info.longest_document};
}

}  // namespace

TokenFileInfo prepare(const PrepareOptions& options, EncodeFunction encode, ThreadPool& pool,
                      FunctionRef<void(const PrepareProgress&)> progress, FileSystem& fs) {
  CHECK(options.vocab_size > 0, "a vocabulary of ", options.vocab_size);
  TokenFileInfo info = describe(options);
  PrepareProgress state;
  for (const TokenFileInfo::Source& source : info.sources) state.total_bytes += source.bytes;

  if (const std::string folder = std::filesystem::path(options.prefix).parent_path().string(); !folder.empty())
    fs.make_directory(folder);
  const TokenType type = token_type_for(options.vocab_size);
  const auto count_of = [](const PrepareMark& m) { return TokenCount{m.documents, m.documents, m.tokens}; };
  PrepareJournal journal(options.prefix, job_of(options, info), fs);
  const PrepareMark from = journal.begin(
      [&](const PrepareMark& mark) { return IndexedWriter::holds(options.prefix, type, count_of(mark)); });
  IndexedWriter writer(options.prefix, type, fs, count_of(from));
  info.documents = state.kept_documents = from.documents;
  info.empty_documents = from.empty_documents;
  info.tokens = from.tokens;
  info.text_bytes = from.text_bytes;
  info.longest_document = from.longest_document;

  BlockReader reader(options, info, from);
  // One at hand a thread, others read ahead or to be written.
  std::vector<Block> blocks(static_cast<size_t>(2 * pool.size() + 2));
  int64_t journaled = info.text_bytes;
  const auto block = [&](int slot) -> Block& { return blocks[static_cast<size_t>(slot)]; };
  const auto write = [&](int slot) {
    write_block(block(slot), options, writer, info);
    if (info.text_bytes - journaled >= options.journal_bytes) {
      writer.sync();
      journal.add(mark_of(block(slot), info));
      journaled = info.text_bytes;
    }
    failpoint("prepare.block");
    state.bytes = block(slot).bytes;
    state.documents = info.documents;
    state.tokens = info.tokens;
    progress(state);
  };
  ordered_work(
      pool, static_cast<int>(blocks.size()), [&](int slot) { return reader.read(block(slot)); },
      [&](int slot, int thread) { encode_block(block(slot), options, encode, thread); }, write);
  writer.commit(info.str());
  return info;
}

}  // namespace trireme
