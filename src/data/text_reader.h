// Documents of text files, one after the other. A file is read front to back once; memory holds one document. Bytes are
// kept as they are, UTF-8 or not. The extension says the kind:
//   .txt      the whole file, or runs of lines between separator lines
//   .csv      RFC 4180 with a header row; one document a row, from one column (csv.h)
//   .jsonl    one JSON object a line, .json a list of objects or strings, or lines; the text of one key (json_text.h)
//   .parquet  one column of text (parquet.h)
//   .gz .zst  behind one of the first four: packed
// A folder is a set of webtext (X.lazy) or of CPM (meta.bin and blocks); record_sets.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

struct TextOptions {
  std::string column = "text";     // of a table, or key of a JSON object; several joined by '+' are joined
  std::string document_separator;  // of .txt: a line that ends a document, "blank" for empty lines; empty: none
};

class DocumentReader {
 public:
  virtual ~DocumentReader() = default;
  /// Appends the bytes of the next document to `out`; false where there is none. IoError naming file and line where the
  /// text is malformed.
  virtual bool next(std::string& out) = 0;
  /// As next(), but of a document that is a whole file only its next part, for those who need not hold it; `ended`
  /// tells whether it is the last.
  virtual bool next_part(std::string& out, bool& ended) {
    ended = true;
    return next(out);
  }
  /// A mark of the place behind the last document, for go_on().
  virtual uint64_t position() const = 0;
  /// Goes on behind the document after which another reader of the same file was at `position`, above 0.
  virtual void go_on(uint64_t position) = 0;
  /// Bytes of the file read so far.
  virtual uint64_t file_position() const = 0;
};

/// Opens a text file. IoError where it is missing or empty, ConfigError where its extension is none of the above.
std::unique_ptr<DocumentReader> open_documents(const std::string& path, const TextOptions& options);

/// The files that open_documents() reads for `path`, the first of them first. IoError where they are missing.
std::vector<std::string> source_files(const std::string& path);

/// The same as open_documents() for a file in memory, which must outlive the reader; `name` says the kind and stands in
/// errors.
std::unique_ptr<DocumentReader> read_documents(std::string_view text, const std::string& name,
                                               const TextOptions& options);

}  // namespace trireme
