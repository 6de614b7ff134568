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

#include "base/file.h"
#include "data/token_type.h"

namespace trireme {

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

}  // namespace trireme
