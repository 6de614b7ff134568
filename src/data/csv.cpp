#include "data/csv.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace trireme {

CsvReader::CsvReader(TextCursor cursor, const std::string& column) : cursor_(std::move(cursor)) {
  cursor_.skip_byte_order_mark();
  skip_empty_lines();
  if (cursor_.at_end())
    throw IoError(cat(cursor_.name(), ": expected a header row with the names of the columns, found only empty lines"));
  std::vector<std::string> names;
  for (End end = End::field; end == End::field;) end = read_field(&names.emplace_back());
  num_columns_ = names.size();
  column_ = static_cast<size_t>(std::find(names.begin(), names.end(), column) - names.begin());
  if (column_ < num_columns_) return;
  std::string known;
  for (const std::string& name : names) known += cat(known.empty() ? "'" : ", '", name, "'");
  throw ConfigError(cat(cursor_.name(), ":1: no column '", column, "' in the header row; there are ", known,
                        "; name one with --column or data.column"));
}

void CsvReader::skip_empty_lines() {
  for (std::string_view rest = cursor_.rest(); !rest.empty(); rest = cursor_.rest()) {
    const size_t bytes = rest[0] == '\n' ? 1 : rest.substr(0, 2) == "\r\n" ? 2 : 0;
    if (bytes == 0) return;
    cursor_.skip(bytes);
  }
}

/// Reads one field and what ends it; appends its value to `out` unless that is null.
CsvReader::End CsvReader::read_field(std::string* out) {
  if (!cursor_.at_end() && cursor_.peek() == '"') {
    const size_t opened = cursor_.position();
    cursor_.skip(1);
    for (;;) {
      const std::string_view rest = cursor_.rest();
      const size_t quote = rest.find('"');
      if (quote == std::string_view::npos)
        cursor_.fail(opened,
                     "the quote that opens this field is never closed; double a quote (\"\") that is part of the text");
      const bool doubled = quote + 1 < rest.size() && rest[quote + 1] == '"';
      if (out) out->append(rest.substr(0, quote + (doubled ? 1 : 0)));
      cursor_.skip(quote + (doubled ? 2 : 1));
      if (!doubled) break;
    }
  } else {
    const std::string_view rest = cursor_.rest();
    size_t length = std::min(rest.find_first_of(",\n"), rest.size());
    if (length > 0 && length < rest.size() && rest[length] == '\n' && rest[length - 1] == '\r') --length;
    if (out) out->append(rest.substr(0, length));
    cursor_.skip(length);
  }
  const std::string_view rest = cursor_.rest();
  if (rest.empty()) return End::text;
  const size_t bytes = rest[0] == ',' || rest[0] == '\n' ? 1 : rest.substr(0, 2) == "\r\n" ? 2 : 0;
  if (bytes == 0)
    cursor_.fail(cursor_.position(),
                 "expected a comma or the end of the row behind a closing quote; double a quote (\"\") that is part of "
                 "the text");
  cursor_.skip(bytes);
  return rest[0] == ',' ? End::field : End::row;
}

bool CsvReader::next(std::string& out) {
  skip_empty_lines();
  if (cursor_.at_end()) return false;
  const size_t begin = cursor_.position();
  size_t fields = 0;
  for (End end = End::field; end == End::field; ++fields) end = read_field(fields == column_ ? &out : nullptr);
  if (fields != num_columns_)
    cursor_.fail(begin, cat("this row has ", fields, " fields, the header row ", num_columns_));
  return true;
}

}  // namespace trireme
