// How far `prepare` came, in PREFIX.journal.partial: a line that names the job, then a line for each mark, with a
// checksum, so that a line cut short by a kill is not one.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "base/thread_pool.h"

namespace trireme {

/// A place behind a whole document, and what was written until there.
struct PrepareMark {
  int64_t source = 0, position = 0;  // index of the file, DocumentReader::position() in it
  int64_t documents = 0, empty_documents = 0, tokens = 0, text_bytes = 0, longest_document = 0;
  bool operator==(const PrepareMark&) const = default;
};

class PrepareJournal {
 public:
  /// `job`: the same for the same command on the same files only. IoError where another process prepares PREFIX.
  PrepareJournal(const std::string& prefix, uint64_t job, FileSystem& fs);

  /// The last mark of an earlier process with this job of which `holds` is true, or a mark at the very beginning. Those
  /// behind it are forgotten. Must be called once, before the first add().
  PrepareMark begin(FunctionRef<bool(const PrepareMark&)> holds);

  /// Returns when the mark survives a loss of power; what it stands for must do so already.
  void add(const PrepareMark& mark);

 private:
  std::string job_;
  PartialFile file_;
};

}  // namespace trireme
