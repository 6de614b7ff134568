#include "data/indexed_writer.h"

#include <array>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "base/byte_stream.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/thread_pool.h"

namespace trireme {
namespace {

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr int32_t kEndOfDocument = -1;

uint64_t table_bytes(const TokenCount& count) { return 4 * static_cast<uint64_t>(count.sequences + count.documents); }
uint64_t id_bytes(const TokenCount& count, TokenType type) {
  return static_cast<uint64_t>(count.tokens * token_size(type));
}

template <class T>
void put(OutputFile& out, T value) {
  out.write(std::as_bytes(std::span(&value, 1)));
}

void for_each_entry(const std::string& path, FunctionRef<void(int32_t)> fn) {
  const std::unique_ptr<ByteStream> stream = open_file(path);
  std::vector<int32_t> entries(size_t{1} << 16);
  for (size_t got = 1; got > 0;) {
    got = stream->read(std::as_writable_bytes(std::span(entries))) / sizeof(int32_t);
    for (size_t i = 0; i < got; ++i) fn(entries[i]);
  }
}

}  // namespace

void pack_ids(std::vector<std::byte>& out, std::span<const int32_t> ids, TokenType type) {
  const size_t begin = out.size();
  out.resize(begin + ids.size() * static_cast<size_t>(token_size(type)));
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    std::byte* to = out.data() + begin;
    int32_t lost = 0;  // looked at behind the loop, which then is one of whole vectors
    for (size_t i = 0; i < ids.size(); ++i) {
      const T id = static_cast<T>(ids[i]);
      lost |= static_cast<int32_t>(id) ^ ids[i];
      std::memcpy(to + i * sizeof(T), &id, sizeof(T));
    }
    CHECK(lost == 0, "an id that is too large for a token file of type ", static_cast<int>(type));
  });
}

IndexedWriter::IndexedWriter(std::string prefix, TokenType type, FileSystem& fs, TokenCount kept)
    : prefix_(std::move(prefix)),
      type_(type),
      fs_(fs),
      bin_(prefix_ + ".bin", fs),
      tables_(prefix_ + ".tables", fs),
      count_(kept) {
  bin_.keep(id_bytes(kept, type));
  tables_.keep(table_bytes(kept));
}

bool IndexedWriter::holds(const std::string& prefix, TokenType type, TokenCount kept) {
  const std::string bin = prefix + ".bin.partial", tables = prefix + ".tables.partial";
  return std::filesystem::exists(bin) && file_size(bin) >= id_bytes(kept, type) && std::filesystem::exists(tables) &&
         file_size(tables) >= table_bytes(kept);
}

void IndexedWriter::add_ids(std::span<const int32_t> ids) {
  packed_.clear();
  pack_ids(packed_, ids, type_);
  bin_.write(packed_);
  sequence_length_ += static_cast<int64_t>(ids.size());
  if (sequence_length_ > std::numeric_limits<int32_t>::max())
    throw IoError(cat(prefix_, ".idx: document ", count_.documents,
                      " has more ids than 2147483647, where the format ends; split it"));
}

void IndexedWriter::end_sequence() {
  put(tables_, static_cast<int32_t>(sequence_length_));
  ++count_.sequences;
  count_.tokens += std::exchange(sequence_length_, 0);
}

void IndexedWriter::end_document() {
  put(tables_, kEndOfDocument);
  ++count_.documents;
}

void IndexedWriter::add_documents(std::span<const std::byte> packed, std::span<const int32_t> lengths) {
  entries_.clear();
  for (const int32_t length : lengths) {
    entries_.push_back(length);
    entries_.push_back(kEndOfDocument);
    count_.tokens += length;
  }
  count_.sequences += static_cast<int64_t>(lengths.size());
  count_.documents += static_cast<int64_t>(lengths.size());
  bin_.write(packed);
  tables_.write(std::as_bytes(std::span(entries_)));
}

void IndexedWriter::sync() {
  bin_.sync();
  tables_.sync();
}

void IndexedWriter::write_index(AtomicFile& out) const {
  out.write(kMagic);
  put(out, uint64_t{1});
  put(out, type_);
  put(out, count_.sequences);
  put(out, count_.documents + 1);
  const std::string& entries = tables_.partial_path();
  int64_t pointer = 0, sequence = 0;
  bool ended = true;
  for_each_entry(entries, [&](int32_t length) {
    if (length != kEndOfDocument) put(out, length);
  });
  for_each_entry(entries, [&](int32_t length) {
    if (length == kEndOfDocument) return;
    put(out, pointer);
    pointer += length * token_size(type_);
  });
  put(out, sequence);
  for_each_entry(entries, [&](int32_t length) {
    ended = length == kEndOfDocument;
    if (ended)
      put(out, sequence);
    else
      ++sequence;
  });
  CHECK(ended && sequence == count_.sequences, "the last document was not ended");
}

void IndexedWriter::commit(std::string_view sidecar) {
  tables_.flush();  // to be read once more; nobody needs them after a loss of power
  const std::string meta = prefix_ + ".meta.json";
  AtomicFile idx(prefix_ + ".idx", fs_);
  write_index(idx);
  std::optional<AtomicFile> json;
  if (!sidecar.empty()) json.emplace(meta, fs_).write(sidecar);
  const std::string folder = std::filesystem::path(prefix_).parent_path().string();
  if (std::filesystem::exists(prefix_ + ".idx")) {
    fs_.remove(prefix_ + ".idx");
    fs_.sync_directory(folder.empty() ? "." : folder);
  }
  bin_.commit();
  if (json)
    json->commit();
  else if (std::filesystem::exists(meta))
    fs_.remove(meta);
  failpoint("prepare.before_index");
  idx.commit();
}

}  // namespace trireme
