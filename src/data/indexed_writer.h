// Writes Megatron's token files (indexed.h) front to back with constant memory: ids go to PREFIX.bin.partial, what the
// index needs of each sequence to PREFIX.tables.partial. A writer that was killed leaves both, and the next one goes on
// behind what it is told was kept.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "data/token_type.h"

namespace trireme {

/// How much token files hold: whole documents.
struct TokenCount {
  int64_t documents = 0, sequences = 0, tokens = 0;
};

class IndexedWriter {
 public:
  /// Goes on behind the first `kept` of an earlier writer of these files; holds() must have said that they are
  /// there. IoError where another process is writing them.
  IndexedWriter(std::string prefix, TokenType type, FileSystem& fs = real_file_system(), TokenCount kept = {});

  /// Whether an earlier writer has left as many bytes as `kept` takes.
  static bool holds(const std::string& prefix, TokenType type, TokenCount kept);

  /// Appends ids to the sequence at hand; each must fit the type.
  void add_ids(std::span<const int32_t> ids);
  /// Ends the sequence, which is the next of the document at hand.
  void end_sequence();
  void end_document();
  void add_sequence(std::span<const int32_t> ids) {
    add_ids(ids);
    end_sequence();
  }
  /// Appends documents of one sequence each, their ids packed back to back.
  void add_documents(std::span<const std::byte> packed, std::span<const int32_t> lengths);

  const TokenCount& count() const { return count_; }

  /// Returns when what was written so far survives a loss of power.
  void sync();

  /// Replaces PREFIX.bin, PREFIX.meta.json (with `sidecar`; empty: by none) and PREFIX.idx; until then the files of
  /// that name stay as they were. An older .idx goes first and the new one comes last, so that no moment shows an index
  /// beside data that is not its own.
  void commit(std::string_view sidecar);

 private:
  void write_index(AtomicFile& out) const;

  std::string prefix_;
  TokenType type_;
  FileSystem& fs_;
  PartialFile bin_;
  PartialFile tables_;  // i32 length of each sequence, kEndOfDocument behind those of a document
  std::vector<std::byte> packed_;
  std::vector<int32_t> entries_;
  int64_t sequence_length_ = 0;  // so far
  TokenCount count_;
};

}  // namespace trireme
