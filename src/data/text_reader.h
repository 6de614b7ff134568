// Documents of text files, one after the other. The file is mapped and read front to back once; memory holds one
// document. Bytes are kept as they are, UTF-8 or not. The extension says the kind:
//   .txt    the whole file, or runs of lines between separator lines
//   .csv    RFC 4180 with a header row; one document a row, from one column (csv.h)
//   .jsonl  one JSON object a line, .json a list of objects or strings; the text of one key (json_text.h)
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"

namespace trireme {

struct TextOptions {
  std::string column = "text";     // of a CSV file, or key of a JSON object
  std::string document_separator;  // of .txt: a line that ends a document, "blank" for empty lines; empty: none
};

/// A place in a text being read, that knows its file and line for errors.
class TextCursor {
 public:
  TextCursor(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

  std::string_view text() const { return text_; }
  const std::string& name() const { return name_; }
  size_t position() const { return position_; }
  bool at_end() const { return position_ == text_.size(); }
  char peek() const { return text_[position_]; }
  std::string_view rest() const { return text_.substr(position_); }
  void skip(size_t bytes) { position_ += bytes; }

  /// The rest of this line without its line end (\n or \r\n); goes on to the next one.
  std::string_view take_line();
  /// Goes past a UTF-8 byte order mark, with which some programs begin a file.
  void skip_byte_order_mark();

  /// IoError "NAME:LINE: detail" for the line of the byte at `position`.
  [[noreturn]] void fail(size_t position, const std::string& detail) const;

 private:
  std::string_view text_;
  std::string name_;
  size_t position_ = 0;
};

class DocumentReader {
 public:
  virtual ~DocumentReader() = default;
  /// Appends the bytes of the next document to `out`; false where there is none. IoError naming file and line where the
  /// text is malformed.
  virtual bool next(std::string& out) = 0;
  /// Bytes of the file read so far.
  virtual size_t position() const = 0;
};

/// Opens a text file. IoError where it is missing or empty, ConfigError where its extension is none of the above.
std::unique_ptr<DocumentReader> open_documents(const std::string& path, const TextOptions& options);

/// The same for text in memory, which must outlive the reader; `name` says the kind and stands in errors.
std::unique_ptr<DocumentReader> read_documents(std::string_view text, const std::string& name,
                                               const TextOptions& options);

}  // namespace trireme
