// A place in a text that is read front to back through a window, so that memory holds what is looked at and not the
// file. The window keeps all from the last release() on and grows behind its end when asked to; views into it last
// until the next call that may read. Errors name file and line.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/byte_stream.h"

namespace trireme {

class TextCursor {
 public:
  /// Reads `chunk_bytes` at a time.
  explicit TextCursor(std::unique_ptr<ByteStream> stream, size_t chunk_bytes = size_t{256} << 10)
      : stream_(std::move(stream)), chunk_bytes_(chunk_bytes) {}

  const std::string& name() const { return stream_->name(); }
  /// Bytes of the text before this place.
  size_t position() const { return begin_ + place_; }
  /// Bytes of the file that stand for them.
  uint64_t file_position() const { return stream_->file_position(position()); }

  bool at_end() { return place_ == window_.size() && !extend(); }
  /// The next byte; not at the end.
  char peek() const { return window_[place_]; }
  void skip(size_t bytes) { place_ += bytes; }
  /// What the window holds from here on: at least `at_least` bytes where the text has as many.
  std::string_view rest(size_t at_least = 1);
  /// Reads more into the window; false at the end of the text.
  bool extend();
  /// Bytes until the next line feed, or until the end of the text; the window then holds them.
  size_t line_length();
  /// The rest of this line without its line end (\n or \r\n); goes on to the next one.
  std::string_view take_line();
  /// From position `begin` to here; not before the last release().
  std::string_view since(size_t begin) const {
    return std::string_view(window_).substr(begin - begin_, position() - begin);
  }
  /// Goes past a UTF-8 byte order mark, with which some programs begin a file.
  void skip_byte_order_mark();

  /// What lies before this place is not needed any more.
  void release() { released_ = place_; }
  /// Goes to a position of this text, forwards or back.
  void seek(size_t position);

  /// IoError "NAME:LINE: detail" for the line of the byte at `position`. Counts the lines by reading the text again.
  [[noreturn]] void fail(size_t position, const std::string& detail);

 private:
  std::unique_ptr<ByteStream> stream_;
  size_t chunk_bytes_;
  std::string window_;
  size_t begin_ = 0, place_ = 0, released_ = 0;  // position of window_[0]; indexes into window_
  bool ended_ = false;
};

}  // namespace trireme
