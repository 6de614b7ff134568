// Token files of any format that token_tables.h reads, as sequences of ids that make documents. Files are mapped; ids
// are held against the vocabulary when they are read, since to check a whole data set at the start would read all of
// it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "data/token_tables.h"

namespace trireme {

class IndexedDataset {
 public:
  static constexpr int64_t kAnyVocabulary = std::numeric_limits<int32_t>::max();

  /// Maps the files. Ids are checked against `vocab_size` when they are read. IoError naming the file, the offset, what
  /// was expected and what was found where the files are missing, foreign, damaged or do not belong together.
  explicit IndexedDataset(const std::string& prefix, int64_t vocab_size = kAnyVocabulary);
  /// The same from tables of bytes in memory, which must outlive the dataset; `prefix` only names them.
  IndexedDataset(std::string prefix, TokenTables tables, int64_t vocab_size);

  int64_t num_sequences() const { return tables_.lengths.size; }
  int64_t num_documents() const { return tables_.documents.size - 1; }
  int64_t num_tokens() const { return num_tokens_; }
  TokenType type() const { return tables_.type; }
  const std::string& format() const { return tables_.format; }
  int64_t vocab_size() const { return vocab_size_; }
  const std::string& prefix() const { return prefix_; }

  int64_t sequence_length(int64_t sequence) const { return tables_.lengths[sequence]; }
  /// Document d consists of the sequences [document_begin(d), document_begin(d + 1)).
  int64_t document_begin(int64_t document) const { return tables_.documents[document]; }
  int64_t document_length(int64_t document) const;
  /// The same of many at once, which lie anywhere: nothing here waits for one table entry before it asks for the next.
  void sequence_lengths(std::span<int64_t> out, std::span<const int32_t> sequences) const;
  void document_lengths(std::span<int64_t> out, std::span<const int64_t> documents) const;

  /// Fills `out` with the ids of one sequence, or of one document, from `offset` on; that many must be there. IoError
  /// naming file, byte offset, document, id and vocabulary where an id is outside of the vocabulary.
  void read_sequence(std::span<int32_t> out, int64_t sequence, int64_t offset) const;
  void read_document(std::span<int32_t> out, int64_t document, int64_t offset) const;

 private:
  void check_tables();
  /// Byte of the data at which a sequence begins.
  int64_t pointer(int64_t sequence) const { return tables_.begins[sequence] * tables_.begin_unit; }
  [[noreturn]] void fail_entry(const IntegerTable& table, int64_t entry, const std::string& detail) const;
  [[noreturn]] void fail_id(int64_t sequence, int64_t position, int64_t id) const;

  std::string prefix_;
  std::vector<MappedFile> files_;
  TokenTables tables_;
  int64_t num_tokens_ = 0;
  bool one_each_ = false;  // every document is one sequence
  int64_t vocab_size_;
};

}  // namespace trireme
