// Text files to token files: documents are read in blocks, each block is encoded by all threads and written in order,
// so that the files are the same whatever the number of threads. Beside .bin and .idx lies PREFIX.meta.json, which says
// what they were made of and with which tokenizer. Nothing appears under the names asked for until everything is
// written.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/thread_pool.h"
#include "data/text_reader.h"

namespace trireme {

struct PrepareOptions {
  std::vector<std::string> sources;  // files in the order of their documents
  TextOptions text;
  std::string prefix;      // PREFIX.bin, PREFIX.idx, PREFIX.meta.json; its folder is made
  int64_t vocab_size = 0;  // of the tokenizer: sets the type of the ids, and every id must be below
  uint64_t tokenizer = 0;  // fingerprint of the tokenizer
  bool append_eos = true;
  int32_t eos_id = 0;  // where append_eos
};

/// What PREFIX.meta.json says.
struct TokenFileInfo {
  struct Source {
    std::string file;
    int64_t bytes = 0;
    bool operator==(const Source&) const = default;
  };
  std::string tokenizer;  // fingerprint in hexadecimal
  int64_t vocab_size = 0;
  std::string column, document_separator;
  bool append_eos = true;
  std::vector<Source> sources;
  int64_t documents = 0, empty_documents = 0;  // empty ones are left out
  int64_t tokens = 0, text_bytes = 0;          // bytes of the documents themselves
  int64_t longest_document = 0;                // tokens
  bool operator==(const TokenFileInfo&) const = default;
};

struct PrepareProgress {
  int64_t bytes = 0, total_bytes = 0;  // of the source files
  int64_t documents = 0, tokens = 0;
};

/// Appends the ids of `text` to `out`. Called by several threads at once, each with its own `thread` below pool.size().
using EncodeFunction = FunctionRef<void(std::vector<int32_t>& out, std::string_view text, int thread)>;

/// Makes token files. `progress` is called after every block; it may throw to give up, then nothing is left behind.
/// IoError or ConfigError where a source cannot be read (see open_documents), has no documents, or an id is not in the
/// vocabulary.
TokenFileInfo prepare(const PrepareOptions& options, EncodeFunction encode, ThreadPool& pool,
                      FunctionRef<void(const PrepareProgress&)> progress, FileSystem& fs = real_file_system());

/// What lies beside token files; nothing where they were made elsewhere. IoError where it is malformed.
std::optional<TokenFileInfo> read_token_file_info(const std::string& prefix);

/// ConfigError naming both where token files were made with another tokenizer than this. Those without PREFIX.meta.json
/// pass.
void require_tokenizer(const std::string& prefix, uint64_t tokenizer, int64_t vocab_size);

}  // namespace trireme
