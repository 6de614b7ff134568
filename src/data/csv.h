// Comma-separated values as RFC 4180 has them: fields may be quoted and then hold commas, line ends and doubled quotes;
// a row ends with \n or \r\n. Beyond the RFC, a quote within an unquoted field is itself, and empty lines are skipped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/text_cursor.h"
#include "data/text_reader.h"

namespace trireme {

class CsvReader : public DocumentReader {
 public:
  /// Reads the header row. `column`: one, or several joined by '+'. IoError where the row is malformed, ConfigError
  /// naming the columns there are where one is missing.
  CsvReader(TextCursor cursor, const std::string& column);

  bool next(std::string& out) override;
  uint64_t position() const override { return cursor_.position(); }
  void go_on(uint64_t position) override { cursor_.seek(position); }
  uint64_t file_position() const override { return cursor_.file_position(); }

 private:
  enum class End { field, row, text };
  End read_field(std::string* out);
  void read_quoted(std::string* out);
  void read_bare(std::string* out);
  size_t line_end();
  void skip_empty_lines();

  TextCursor cursor_;
  size_t num_columns_ = 0;
  std::vector<std::string> parts_;       // of a row's text
  std::vector<std::string*> of_column_;  // the part that a column is, or null
};

}  // namespace trireme
