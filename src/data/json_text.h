// The text of one key, or of several, out of many JSON objects, without building trees: a strict scanner (RFC 8259)
// that skips what is not asked for. Bytes of a string that are not UTF-8 stay as they are; escapes become UTF-8, half a
// surrogate pair U+FFFD.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/text_cursor.h"
#include "data/text_reader.h"

namespace trireme {

class JsonTextReader : public DocumentReader {
 public:
  /// `lines`: an object (or a string) on every line that is not blank; else one list of them, or lines all the same
  /// where the text begins with an object. `key`: one, or several joined by '+', whose texts are joined in that order.
  JsonTextReader(TextCursor cursor, const std::string& key, bool lines);

  bool next(std::string& out) override;
  uint64_t position() const override { return cursor_.position(); }
  void go_on(uint64_t position) override;
  uint64_t file_position() const override { return cursor_.file_position(); }

 private:
  bool next_line(std::string& out);
  bool next_item(std::string& out);
  void read_record(std::string& out);
  void read_object(std::string& out);
  /// Scanners of one value each; strings are appended to `out` unless that is null.
  void read_string(std::string* out);
  void read_escape(std::string* out);
  uint32_t read_hex4();
  void skip_value(int depth);
  void skip_members(int depth);
  void skip_space();
  bool accept(char c);
  void expect(char c, const char* where);
  bool at_limit() { return cursor_.position() == limit_ || cursor_.at_end(); }
  /// What the window holds up to the limit: at least `at_least` bytes where there are as many.
  std::string_view rest(size_t at_least = 1) { return cursor_.rest(at_least).substr(0, limit_ - cursor_.position()); }
  [[noreturn]] void fail_expected(const char* what);

  TextCursor cursor_;
  std::vector<std::string> keys_, parts_;  // parts_: of a record's text
  std::vector<bool> found_;
  std::string name_, names_;  // scratch of read_object
  bool lines_, first_ = true, done_ = false;
  size_t limit_;  // where the line ends; far behind the text where there are none
};

}  // namespace trireme
