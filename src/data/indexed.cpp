#include "data/indexed.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace trireme {
namespace {

static_assert(std::endian::native == std::endian::little, "the tables are read and written as they lie in memory");

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// Widens ids of type T; returns the place of the first outside [0, vocab_size), or -1.
template <class T>
int64_t copy_ids(std::span<int32_t> out, const std::byte* from, int64_t vocab_size) {
  bool bad = false;
  for (size_t i = 0; i < out.size(); ++i) {
    const auto id = static_cast<int64_t>(load<T>(from + i * sizeof(T)));
    out[i] = static_cast<int32_t>(id);
    bad |= static_cast<uint64_t>(id) >= static_cast<uint64_t>(vocab_size);
  }
  if (!bad) return -1;
  for (size_t i = 0;; ++i)
    if (static_cast<uint64_t>(load<T>(from + i * sizeof(T))) >= static_cast<uint64_t>(vocab_size))
      return static_cast<int64_t>(i);
}

}  // namespace

IndexedDataset::IndexedDataset(const std::string& prefix, int64_t vocab_size)
    : prefix_(prefix), vocab_size_(vocab_size) {
  MappedTokens mapped = map_token_files(prefix);
  files_ = std::move(mapped.files);
  tables_ = std::move(mapped.tables);
  check_tables();
}

IndexedDataset::IndexedDataset(std::string prefix, TokenTables tables, int64_t vocab_size)
    : prefix_(std::move(prefix)), tables_(std::move(tables)), vocab_size_(vocab_size) {
  check_tables();
}

void IndexedDataset::fail_entry(const IntegerTable& table, int64_t entry, const std::string& detail) const {
  fail_index(tables_.index_name, table.place(entry), detail);
}

void IndexedDataset::check_tables() {
  const auto bin_size = static_cast<int64_t>(tables_.ids.size());
  const int64_t width = token_size(type()), unit = tables_.begin_unit;
  for (int64_t s = 0; s < num_sequences(); ++s) {
    const int64_t length = sequence_length(s), begin = tables_.begins[s];
    if (length < 0) fail_entry(tables_.lengths, s, cat("sequence ", s, " has the negative length ", length));
    if (begin < 0 || begin > bin_size / unit || length > (bin_size - begin * unit) / width)
      fail_entry(
          tables_.begins, s,
          cat("sequence ", s, " of ", length, " ids of ", width, " bytes begins at ", unit == 1 ? "byte " : "id ",
              begin, " of ", tables_.ids_name, ", which has only ", bin_size, " bytes"));
    num_tokens_ += length;
  }
  int64_t previous = 0, longest = 0;  // in sequences
  for (int64_t d = 0; d <= num_documents(); ++d) {
    const int64_t begin = document_begin(d);
    if (d == 0 && begin != 0)
      fail_entry(tables_.documents, 0, cat("expected the first document to begin at sequence 0, found ", begin));
    if (begin < previous || begin > num_sequences())
      fail_entry(tables_.documents, d,
                 cat("document ", d, " begins at sequence ", begin, ", expected one from ", previous, " to ",
                     num_sequences()));
    longest = std::max(longest, begin - previous);
    previous = begin;
  }
  if (previous != num_sequences())
    fail_entry(tables_.documents, num_documents(),
               cat("expected the last document to end at sequence ", num_sequences(), ", found ", previous));
  one_each_ = num_documents() == num_sequences() && longest <= 1;
}

int64_t IndexedDataset::document_length(int64_t document) const {
  int64_t length = 0;
  for (int64_t s = document_begin(document); s < document_begin(document + 1); ++s) length += sequence_length(s);
  return length;
}

void IndexedDataset::sequence_lengths(std::span<int64_t> out, std::span<const int32_t> sequences) const {
  for (size_t i = 0; i < out.size(); ++i) out[i] = sequence_length(sequences[i]);
}

void IndexedDataset::document_lengths(std::span<int64_t> out, std::span<const int64_t> documents) const {
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = one_each_ ? sequence_length(documents[i]) : document_length(documents[i]);
}

void IndexedDataset::read_sequence(std::span<int32_t> out, int64_t sequence, int64_t offset) const {
  CHECK(sequence >= 0 && sequence < num_sequences() && offset >= 0 &&
            static_cast<int64_t>(out.size()) <= sequence_length(sequence) - offset,
        "ids ", offset, " and on of sequence ", sequence);
  const std::byte* from = tables_.ids.data() + pointer(sequence) + offset * token_size(type());
  const int64_t bad = with_type(type(), [&](auto zero) { return copy_ids<decltype(zero)>(out, from, vocab_size_); });
  if (bad < 0) return;
  const int64_t id = with_type(type(), [&](auto zero) {
    return static_cast<int64_t>(load<decltype(zero)>(from + bad * static_cast<int64_t>(sizeof(zero))));
  });
  fail_id(sequence, offset + bad, id);
}

void IndexedDataset::read_document(std::span<int32_t> out, int64_t document, int64_t offset) const {
  for (int64_t s = document_begin(document); !out.empty(); ++s) {
    CHECK(s < document_begin(document + 1), "document ", document, " is too short");
    const int64_t length = sequence_length(s);
    if (offset < length) {
      const auto part = std::min<size_t>(out.size(), static_cast<size_t>(length - offset));
      read_sequence(out.first(part), s, offset);
      out = out.subspan(part);
    }
    offset = std::max<int64_t>(0, offset - length);
  }
}

void IndexedDataset::fail_id(int64_t sequence, int64_t position, int64_t id) const {
  int64_t low = 0, high = num_documents();  // the document is the last that begins at or before the sequence
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (document_begin(middle) <= sequence ? low : high) = middle;
  }
  throw IoError(cat(tables_.ids_name, ": byte ", tables_.ids_offset + pointer(sequence) + position * token_size(type()),
                    ": document ", low, " (sequence ", sequence, ", position ", position, ") has the id ", id,
                    ", the vocabulary has ", vocab_size_,
                    " ids from 0 on; these files were made with another tokenizer: prepare them again with this one"));
}

}  // namespace trireme
