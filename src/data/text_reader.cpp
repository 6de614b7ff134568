#include "data/text_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/strings.h"
#include "data/csv.h"
#include "data/json_text.h"

namespace trireme {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

class PlainReader : public DocumentReader {
 public:
  PlainReader(TextCursor cursor, std::string separator) : cursor_(std::move(cursor)), separator_(std::move(separator)) {
    if (separator_ == "blank") separator_.clear(), by_line_ = true;
    by_line_ |= !separator_.empty();
  }

  size_t position() const override { return cursor_.position(); }

  /// A document without the line end before its separator; none between two separators.
  bool next(std::string& out) override {
    if (!by_line_) {
      if (cursor_.at_end()) return false;
      out.append(cursor_.rest());
      cursor_.skip(cursor_.rest().size());
      return true;
    }
    while (!cursor_.at_end()) {
      const size_t begin = cursor_.position();
      size_t end = begin;
      while (!cursor_.at_end() && cursor_.take_line() != separator_) end = cursor_.position();
      std::string_view document = cursor_.text().substr(begin, end - begin);
      if (ends_with(document, "\n")) document.remove_suffix(ends_with(document, "\r\n") ? 2 : 1);
      out.append(document);
      if (!document.empty()) return true;
    }
    return false;
  }

 private:
  TextCursor cursor_;
  std::string separator_;
  bool by_line_ = false;
};

/// A reader with the file that it reads.
class FileReader : public DocumentReader {
 public:
  FileReader(MappedFile file, const TextOptions& options)
      : file_(std::move(file)), reader_(read_documents(file_.text(), file_.path(), options)) {}
  bool next(std::string& out) override { return reader_->next(out); }
  size_t position() const override { return reader_->position(); }

 private:
  MappedFile file_;
  std::unique_ptr<DocumentReader> reader_;
};

}  // namespace

std::string_view TextCursor::take_line() {
  const std::string_view rest = text_.substr(position_);
  const size_t length = std::min(rest.find('\n'), rest.size());
  position_ += std::min(length + 1, rest.size());
  const std::string_view line = rest.substr(0, length);
  return line.substr(0, line.size() - (ends_with(line, "\r") ? 1 : 0));
}

void TextCursor::skip_byte_order_mark() {
  if (starts_with(text_, kByteOrderMark)) position_ = kByteOrderMark.size();
}

void TextCursor::fail(size_t position, const std::string& detail) const {
  const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(position), '\n');
  throw IoError(cat(name_, ":", line, ": ", detail));
}

std::unique_ptr<DocumentReader> read_documents(std::string_view text, const std::string& name,
                                               const TextOptions& options) {
  const size_t slash = name.rfind('/'), dot = name.rfind('.');
  const std::string extension =
      dot == std::string::npos || (slash != std::string::npos && dot < slash) ? "" : name.substr(dot);
  const bool txt = extension == ".txt", csv = extension == ".csv", jsonl = extension == ".jsonl",
             json = extension == ".json";
  if (!txt && !csv && !jsonl && !json)
    throw ConfigError(
        cat(name, ": cannot tell the kind of text from the name; valid endings: .txt, .jsonl, .json, .csv"));
  if (text.empty()) throw IoError(cat(name, ": the file is empty; expected text to read"));
  TextCursor cursor(text, name);
  if (txt) return std::make_unique<PlainReader>(std::move(cursor), options.document_separator);
  if (csv) return std::make_unique<CsvReader>(std::move(cursor), options.column);
  return std::make_unique<JsonTextReader>(std::move(cursor), options.column, jsonl);
}

std::unique_ptr<DocumentReader> open_documents(const std::string& path, const TextOptions& options) {
  return std::make_unique<FileReader>(MappedFile(path), options);
}

}  // namespace trireme
