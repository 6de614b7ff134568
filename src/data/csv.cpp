#include "data/csv.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {

CsvReader::CsvReader(TextCursor cursor, const std::string& column) : cursor_(std::move(cursor)) {
  cursor_.skip_byte_order_mark();
  skip_empty_lines();
  if (cursor_.at_end())
    throw IoError(cat(cursor_.name(), ": expected a header row with the names of the columns, found only empty lines"));
  std::vector<std::string> names;
  for (End end = End::field; end == End::field;) end = read_field(&names.emplace_back());
  num_columns_ = names.size();
  of_column_.resize(num_columns_);
  std::vector<std::string> wanted = {column};
  if (std::find(names.begin(), names.end(), column) == names.end()) wanted = split(column, '+');
  parts_.resize(wanted.size());
  for (size_t p = 0; p < wanted.size(); ++p) {
    const auto found = std::find(names.begin(), names.end(), wanted[p]);
    if (found == names.end()) {
      std::string known;
      for (const std::string& name : names) known += cat(known.empty() ? "'" : ", '", name, "'");
      throw ConfigError(cat(cursor_.name(), ":1: no column '", wanted[p], "' in the header row; there are ", known,
                            "; name one with --column or data.column"));
    }
    of_column_[static_cast<size_t>(found - names.begin())] = &parts_[p];
  }
}

/// Bytes of the line end here, or 0 where there is none.
size_t CsvReader::line_end() {
  const std::string_view rest = cursor_.rest(2);
  return rest.empty() ? 0 : rest[0] == '\n' ? 1 : rest.substr(0, 2) == "\r\n" ? 2 : 0;
}

void CsvReader::skip_empty_lines() {
  for (size_t bytes; (bytes = line_end()) > 0;) cursor_.skip(bytes);
}

/// Reads one field and what ends it; appends its value to `out` unless that is null.
CsvReader::End CsvReader::read_field(std::string* out) {
  if (!cursor_.at_end() && cursor_.peek() == '"')
    read_quoted(out);
  else
    read_bare(out);
  if (cursor_.at_end()) return End::text;
  const bool comma = cursor_.peek() == ',';
  const size_t bytes = comma ? 1 : line_end();
  if (bytes == 0)
    cursor_.fail(cursor_.position(),
                 "expected a comma or the end of the row behind a closing quote; double a quote (\"\") that is part of "
                 "the text");
  cursor_.skip(bytes);
  return comma ? End::field : End::row;
}

void CsvReader::read_quoted(std::string* out) {
  const size_t opened = cursor_.position();
  cursor_.skip(1);
  for (;;) {
    const std::string_view rest = cursor_.rest();
    if (rest.empty())
      cursor_.fail(opened,
                   "the quote that opens this field is never closed; double a quote (\"\") that is part of the text");
    const size_t quote = rest.find('"');
    if (out) out->append(rest.substr(0, quote));
    if (quote == std::string_view::npos) {
      cursor_.skip(rest.size());
      continue;
    }
    cursor_.skip(quote + 1);
    if (cursor_.at_end() || cursor_.peek() != '"') return;
    if (out) out->push_back('"');
    cursor_.skip(1);
  }
}

/// Up to a comma or the end of the row, which stay.
void CsvReader::read_bare(std::string* out) {
  while (!cursor_.at_end()) {
    const std::string_view rest = cursor_.rest(2);
    size_t length = 0;
    while (length < rest.size() && rest[length] != ',' && rest[length] != '\n' && rest[length] != '\r') ++length;
    if (length == 0 && (rest[0] != '\r' || line_end() > 0)) return;
    length = std::max<size_t>(length, 1);  // a carriage return by itself is part of the field
    if (out) out->append(rest.substr(0, length));
    cursor_.skip(length);
  }
}

bool CsvReader::next(std::string& out) {
  cursor_.release();
  skip_empty_lines();
  if (cursor_.at_end()) return false;
  const size_t begin = cursor_.position();
  size_t fields = 0;
  for (std::string& part : parts_) part.clear();
  for (End end = End::field; end == End::field; ++fields) {
    std::string* part = fields < num_columns_ ? of_column_[fields] : nullptr;
    end = read_field(part != nullptr && parts_.size() == 1 ? &out : part);
  }
  if (fields != num_columns_)
    cursor_.fail(begin, cat("this row has ", fields, " fields, the header row ", num_columns_));
  for (const std::string& part : parts_) out += part;
  return true;
}

}  // namespace trireme
