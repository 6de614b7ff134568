#include "data/text_reader.h"

#include <utility>

#include "base/error.h"
#include "base/strings.h"
#include "base/unpacking_stream.h"
#include "data/csv.h"
#include "data/json_text.h"
#include "data/parquet.h"
#include "data/record_sets.h"

namespace trireme {
namespace {

/// A text without structure: one document, or runs of lines.
class PlainReader : public DocumentReader {
 public:
  PlainReader(TextCursor cursor, std::string separator) : cursor_(std::move(cursor)), separator_(std::move(separator)) {
    if (separator_ == "blank") separator_.clear(), by_line_ = true;
    by_line_ |= !separator_.empty();
  }

  uint64_t position() const override { return cursor_.position(); }
  void go_on(uint64_t position) override { cursor_.seek(position); }
  uint64_t file_position() const override { return cursor_.file_position(); }

  /// A document without the line end before its separator; none between two separators.
  bool next(std::string& out) override {
    if (!by_line_) return take_all(out);
    while (!cursor_.at_end()) {
      cursor_.release();
      const size_t begin = cursor_.position();
      size_t end = begin;
      while (!cursor_.at_end() && cursor_.take_line() != separator_) end = cursor_.position();
      std::string_view document = cursor_.since(begin).substr(0, end - begin);
      if (ends_with(document, "\n")) document.remove_suffix(ends_with(document, "\r\n") ? 2 : 1);
      out.append(document);
      if (!document.empty()) return true;
    }
    return false;
  }

  bool next_part(std::string& out, bool& ended) override {
    if (by_line_) return DocumentReader::next_part(out, ended);
    if (cursor_.at_end()) return false;
    take_window(out);
    ended = cursor_.at_end();
    return true;
  }

 private:
  bool take_all(std::string& out) {
    if (cursor_.at_end()) return false;
    while (!cursor_.at_end()) take_window(out);
    return true;
  }

  void take_window(std::string& out) {
    const std::string_view rest = cursor_.rest();
    out.append(rest);
    cursor_.skip(rest.size());
    cursor_.release();
  }

  TextCursor cursor_;
  std::string separator_;
  bool by_line_ = false;
};

/// The ending of the file's name, from its last dot on; empty where there is none.
std::string ending_of(const std::string& name) {
  const size_t slash = name.rfind('/'), dot = name.rfind('.');
  return dot == std::string::npos || (slash != std::string::npos && dot < slash) ? "" : name.substr(dot);
}

std::unique_ptr<DocumentReader> read_stream(std::unique_ptr<ByteStream> stream, const TextOptions& options) {
  const std::string name = stream->name(), last = ending_of(name);
  std::string ending = last;
  if (last == ".gz" || last == ".zst") {
    ending = ending_of(name.substr(0, name.size() - last.size()));
    stream = last == ".gz" ? unpack_gzip(std::move(stream)) : unpack_zstd(std::move(stream));
  }
  const bool txt = ending == ".txt", csv = ending == ".csv", jsonl = ending == ".jsonl", json = ending == ".json";
  if (last == ".parquet") return read_parquet(std::move(stream), options.column);
  if (!txt && !csv && !jsonl && !json)
    throw ConfigError(cat(name,
                          ": cannot tell the kind of text from the name; valid endings: .txt, .jsonl, .json, .csv, "
                          "each also with .gz or .zst behind it, .parquet; or a folder X.lazy or one with meta.bin"));
  TextCursor cursor(std::move(stream));
  if (cursor.at_end()) throw IoError(cat(name, ": the file is empty; expected text to read"));
  if (txt) return std::make_unique<PlainReader>(std::move(cursor), options.document_separator);
  if (csv) return std::make_unique<CsvReader>(std::move(cursor), options.column);
  return std::make_unique<JsonTextReader>(std::move(cursor), options.column, jsonl);
}

}  // namespace

std::unique_ptr<DocumentReader> read_documents(std::string_view text, const std::string& name,
                                               const TextOptions& options) {
  return read_stream(memory_stream(text, name), options);
}

std::unique_ptr<DocumentReader> open_documents(const std::string& path, const TextOptions& options) {
  if (is_lazy_folder(path)) return open_lazy_folder(path);
  if (is_block_folder(path)) return open_block_folder(path, options.column);
  return read_stream(open_file(path), options);
}

std::vector<std::string> source_files(const std::string& path) {
  if (is_lazy_folder(path)) return lazy_folder_files(path);
  if (is_block_folder(path)) return block_folder_files(path);
  return {path};
}

}  // namespace trireme
