// Text files to token files with constant memory: documents are read in blocks, blocks are encoded by all threads and
// written in order, so that the files are the same whatever the number of threads. Beside .bin and .idx lies
// PREFIX.meta.json, which says what they were made of and with which tokenizer. Nothing appears under the names asked
// for until everything is written. A process that is killed leaves PREFIX.*.partial, behind which the same command on
// the same files goes on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/thread_pool.h"
#include "data/text_reader.h"
#include "data/token_file_info.h"

namespace trireme {

struct PrepareOptions {
  std::vector<std::string> sources;  // files in the order of their documents
  TextOptions text;
  std::string prefix;      // PREFIX.bin, PREFIX.idx, PREFIX.meta.json; its folder is made
  int64_t vocab_size = 0;  // of the tokenizer: sets the type of the ids, and every id must be below
  uint64_t tokenizer = 0;  // fingerprint of the tokenizer
  bool append_eos = true;
  int32_t eos_id = 0;                         // where append_eos
  int64_t block_bytes = int64_t{256} << 10;   // of text that a thread encodes at once, at least
  int64_t journal_bytes = int64_t{64} << 20;  // bytes of text after which a kill costs no more
};

struct PrepareProgress {
  int64_t bytes = 0, total_bytes = 0;  // of the source files
  int64_t kept_documents = 0;          // done by an earlier process
  int64_t documents = 0, tokens = 0;
};

/// Appends the ids of `text` to `out`. Called by several threads at once, each with its own `thread` below pool.size().
using EncodeFunction = FunctionRef<void(std::vector<int32_t>& out, std::string_view text, int thread)>;

/// Makes token files. `progress` is called after every block, by one thread at a time; it may throw to give up, then
/// nothing is left behind, as after any error.
/// IoError or ConfigError where a source cannot be read (see open_documents), has no documents, or an id is not in the
/// vocabulary.
TokenFileInfo prepare(const PrepareOptions& options, EncodeFunction encode, ThreadPool& pool,
                      FunctionRef<void(const PrepareProgress&)> progress, FileSystem& fs = real_file_system());

}  // namespace trireme
