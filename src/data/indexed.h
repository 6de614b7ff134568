// Token files as Megatron-LM's IndexedDataset has them: PREFIX.bin holds the ids of all sequences back to back,
// PREFIX.idx tells their lengths, their places and which of them make a document (little endian):
//   0 magic "MMIDIDX\0\0"   9 u64 version 1   17 u8 type   18 u64 S sequences   26 u64 D = documents + 1
//   34 i32[S] ids of each sequence   i64[S] byte offset of each in .bin   i64[D] first sequence of each document, then
//   S
// The reader maps both files and believes nothing: every count and table entry is held against the file sizes first.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace trireme {

/// The type codes of the format that can hold ids (6 and 7 are floats).
enum class TokenType : uint8_t { u8 = 1, i8 = 2, i16 = 3, i32 = 4, i64 = 5, u16 = 8 };

constexpr int64_t token_size(TokenType t) {
  switch (t) {
    case TokenType::u8:
    case TokenType::i8: return 1;
    case TokenType::i16:
    case TokenType::u16: return 2;
    case TokenType::i32: return 4;
    case TokenType::i64: return 8;
  }
  return 0;
}

/// The type that Megatron's writer takes: u16 where the vocabulary has fewer than 65,500 ids, else i32.
constexpr TokenType token_type_for(int64_t vocab_size) { return vocab_size < 65500 ? TokenType::u16 : TokenType::i32; }

class IndexedDataset {
 public:
  static constexpr int64_t kAnyVocabulary = std::numeric_limits<int32_t>::max();

  /// Maps PREFIX.bin and PREFIX.idx. Ids are checked against `vocab_size` when they are read. IoError naming the file,
  /// the offset, what was expected and what was found where the files are missing, foreign, damaged or do not belong
  /// together.
  explicit IndexedDataset(const std::string& prefix, int64_t vocab_size = kAnyVocabulary);
  /// The same from bytes in memory, which must outlive the dataset; `prefix` only names them.
  IndexedDataset(std::string prefix, std::span<const std::byte> bin, std::span<const std::byte> idx,
                 int64_t vocab_size);

  int64_t num_sequences() const { return num_sequences_; }
  int64_t num_documents() const { return num_documents_; }
  int64_t num_tokens() const { return num_tokens_; }
  TokenType type() const { return type_; }
  int64_t vocab_size() const { return vocab_size_; }
  const std::string& prefix() const { return prefix_; }

  int64_t sequence_length(int64_t sequence) const;
  /// Document d consists of the sequences [document_begin(d), document_begin(d + 1)).
  int64_t document_begin(int64_t document) const;
  int64_t document_length(int64_t document) const;

  /// Fills `out` with the ids of one sequence, or of one document, from `offset` on; that many must be there. IoError
  /// naming file, byte offset, document, id and vocabulary where an id is outside of the vocabulary.
  void read_sequence(std::span<int32_t> out, int64_t sequence, int64_t offset) const;
  void read_document(std::span<int32_t> out, int64_t document, int64_t offset) const;

 private:
  void read_header();
  void check_tables();
  int64_t pointer(int64_t sequence) const;
  [[noreturn]] void fail_idx(int64_t offset, const std::string& detail) const;
  [[noreturn]] void fail_id(int64_t sequence, int64_t position, int64_t id) const;

  std::string prefix_;
  MappedFile bin_file_, idx_file_;
  std::span<const std::byte> bin_, idx_;
  const std::byte *lengths_ = nullptr, *pointers_ = nullptr, *documents_ = nullptr;  // unaligned
  int64_t num_sequences_ = 0, num_documents_ = 0, num_tokens_ = 0;
  int64_t vocab_size_;
  TokenType type_ = TokenType::u16;
};

/// Writes token files front to back. Until commit() the files of that name stay as they were; what is not committed
/// leaves nothing behind.
class IndexedWriter {
 public:
  IndexedWriter(std::string prefix, TokenType type, FileSystem& fs = real_file_system());

  /// Appends a sequence to the document at hand; every id must fit the type.
  void add_sequence(std::span<const int32_t> ids);
  void end_document();

  int64_t num_documents() const { return static_cast<int64_t>(documents_.size()) - 1; }
  int64_t num_tokens() const { return num_tokens_; }

  /// Replaces PREFIX.bin, PREFIX.meta.json (with `sidecar`) and PREFIX.idx. An older .idx goes first and the new one
  /// comes last, so that no moment shows an index beside data that is not its own.
  void commit(std::string_view sidecar);

 private:
  std::string index() const;

  std::string prefix_;
  TokenType type_;
  FileSystem& fs_;
  AtomicFile bin_;
  std::vector<int32_t> lengths_;
  std::vector<int64_t> documents_ = {0};
  std::vector<std::byte> packed_;
  int64_t num_tokens_ = 0;
};

}  // namespace trireme
