#include "data/indexed.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace trireme {
namespace {

static_assert(std::endian::native == std::endian::little, "the tables are read and written as they lie in memory");

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::string_view kLegacyMagic("TNTIDX\0\0", 8);
constexpr int64_t kVersionOffset = 9, kTypeOffset = 17, kSequencesOffset = 18, kDocumentsOffset = 26, kHeaderBytes = 34;

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
    : prefix_(prefix),
      bin_file_(prefix + ".bin"),
      idx_file_(prefix + ".idx"),
      bin_(bin_file_.bytes()),
      idx_(idx_file_.bytes()),
      vocab_size_(vocab_size) {
  read_header();
  check_tables();
}

IndexedDataset::IndexedDataset(std::string prefix, std::span<const std::byte> bin, std::span<const std::byte> idx,
                               int64_t vocab_size)
    : prefix_(std::move(prefix)), bin_(bin), idx_(idx), vocab_size_(vocab_size) {
  read_header();
  check_tables();
}

void IndexedDataset::fail_idx(int64_t offset, const std::string& detail) const {
  throw IoError(cat(prefix_, ".idx: byte ", offset, ": ", detail,
                    "; prepare the token files again, or copy them again if they "
                    "were made elsewhere"));
}

void IndexedDataset::read_header() {
  const auto size = static_cast<int64_t>(idx_.size());
  const std::string_view text(reinterpret_cast<const char*>(idx_.data()), idx_.size());
  if (text.substr(0, kLegacyMagic.size()) == kLegacyMagic)
    fail_idx(0, "this is a legacy index (TNTIDX), only the MMIDIDX kind is read");
  if (const size_t n = std::min(text.size(), kMagic.size()); text.substr(0, n) != kMagic.substr(0, n))
    fail_idx(0, "expected the 9 bytes MMIDIDX\\0\\0, found another kind of file");
  if (size < kHeaderBytes) fail_idx(size, cat("the file ends within its header of ", kHeaderBytes, " bytes"));
  if (const auto version = load<uint64_t>(&idx_[kVersionOffset]); version != 1)
    fail_idx(kVersionOffset, cat("expected version 1, found ", version));

  const auto code = load<uint8_t>(&idx_[kTypeOffset]);
  if (code == 6 || code == 7)
    fail_idx(kTypeOffset, cat("type ", +code, " is a floating-point one, token ids are integers"));
  if (code == 0 || code > 8) fail_idx(kTypeOffset, cat("expected a type from 1 to 8, found ", +code));
  type_ = static_cast<TokenType>(code);

  const auto sequences = load<uint64_t>(&idx_[kSequencesOffset]), documents = load<uint64_t>(&idx_[kDocumentsOffset]);
  const auto room = static_cast<uint64_t>(size - kHeaderBytes);
  if (sequences > room / 12)
    fail_idx(kSequencesOffset,
             cat(sequences, " sequences of 12 bytes each do not fit into a file of ", size, " bytes"));
  if (documents > (room - 12 * sequences) / 8)
    fail_idx(kDocumentsOffset, cat(documents, " document entries of 8 bytes each do not fit into a file of ", size,
                                   " bytes with ", sequences, " sequences"));
  if (documents == 0) fail_idx(kDocumentsOffset, "expected at least 1 document entry, found 0");
  num_sequences_ = static_cast<int64_t>(sequences);
  num_documents_ = static_cast<int64_t>(documents) - 1;
  const int64_t expected = kHeaderBytes + 12 * num_sequences_ + 8 * (num_documents_ + 1);
  if (size == expected + num_sequences_ && num_sequences_ > 0)
    fail_idx(expected, "the index has a table of modes, that is, of several media; only text is read");
  if (size != expected) fail_idx(expected, cat("expected the file to end here, it has ", size, " bytes"));
  lengths_ = idx_.data() + kHeaderBytes;
  pointers_ = lengths_ + 4 * num_sequences_;
  documents_ = pointers_ + 8 * num_sequences_;
}

void IndexedDataset::check_tables() {
  const auto offset_of = [&](const std::byte* table, int64_t entry, int64_t width) {
    return table - idx_.data() + entry * width;
  };
  const auto bin_size = static_cast<int64_t>(bin_.size());
  const int64_t width = token_size(type_);
  for (int64_t s = 0; s < num_sequences_; ++s) {
    const int64_t length = sequence_length(s), begin = pointer(s);
    if (length < 0) fail_idx(offset_of(lengths_, s, 4), cat("sequence ", s, " has the negative length ", length));
    if (begin < 0 || begin > bin_size || length > (bin_size - begin) / width)
      fail_idx(offset_of(pointers_, s, 8),
               cat("sequence ", s, " of ", length, " ids of ", width, " bytes begins at byte ", begin, " of ", prefix_,
                   ".bin, which has only ", bin_size, " bytes"));
    num_tokens_ += length;
  }
  int64_t previous = 0;
  for (int64_t d = 0; d <= num_documents_; ++d) {
    const int64_t begin = document_begin(d);
    if (d == 0 && begin != 0)
      fail_idx(offset_of(documents_, 0, 8), cat("expected the first document to begin at sequence 0, found ", begin));
    if (begin < previous || begin > num_sequences_)
      fail_idx(offset_of(documents_, d, 8), cat("document ", d, " begins at sequence ", begin, ", expected one from ",
                                                previous, " to ", num_sequences_));
    previous = begin;
  }
  if (previous != num_sequences_)
    fail_idx(offset_of(documents_, num_documents_, 8),
             cat("expected the last document to end at sequence ", num_sequences_, ", found ", previous));
}

int64_t IndexedDataset::sequence_length(int64_t sequence) const { return load<int32_t>(lengths_ + 4 * sequence); }
int64_t IndexedDataset::pointer(int64_t sequence) const { return load<int64_t>(pointers_ + 8 * sequence); }
int64_t IndexedDataset::document_begin(int64_t document) const { return load<int64_t>(documents_ + 8 * document); }

int64_t IndexedDataset::document_length(int64_t document) const {
  int64_t length = 0;
  for (int64_t s = document_begin(document); s < document_begin(document + 1); ++s) length += sequence_length(s);
  return length;
}

void IndexedDataset::read_sequence(std::span<int32_t> out, int64_t sequence, int64_t offset) const {
  CHECK(sequence >= 0 && sequence < num_sequences_ && offset >= 0 &&
            static_cast<int64_t>(out.size()) <= sequence_length(sequence) - offset,
        "ids ", offset, " and on of sequence ", sequence);
  const std::byte* from = bin_.data() + pointer(sequence) + offset * token_size(type_);
  const int64_t bad = with_type(type_, [&](auto zero) { return copy_ids<decltype(zero)>(out, from, vocab_size_); });
  if (bad < 0) return;
  const int64_t id = with_type(type_, [&](auto zero) {
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
  int64_t low = 0, high = num_documents_;  // the document is the last that begins at or before the sequence
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (document_begin(middle) <= sequence ? low : high) = middle;
  }
  throw IoError(cat(prefix_, ".bin: byte ", pointer(sequence) + position * token_size(type_), ": document ", low,
                    " (sequence ", sequence, ", position ", position, ") has the id ", id, ", the vocabulary has ",
                    vocab_size_,
                    " ids from 0 on; these files were made with another tokenizer: prepare them again with this one"));
}

}  // namespace trireme
