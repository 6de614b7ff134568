#include "data/text_cursor.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

bool TextCursor::extend() {
  if (ended_) return false;
  window_.erase(0, released_);
  begin_ += released_;
  place_ -= released_;
  released_ = 0;
  const size_t held = window_.size();
  window_.resize(held + chunk_bytes_);
  const size_t got = stream_->read(std::as_writable_bytes(std::span(window_).subspan(held)));
  window_.resize(held + got);
  ended_ = got < chunk_bytes_;
  return got > 0;
}

std::string_view TextCursor::rest(size_t at_least) {
  while (window_.size() - place_ < at_least && extend()) {}
  return std::string_view(window_).substr(place_);
}

size_t TextCursor::line_length() {
  for (size_t searched = 0;;) {
    const std::string_view held = std::string_view(window_).substr(place_);
    if (const size_t found = held.find('\n', searched); found != std::string_view::npos) return found;
    searched = held.size();
    if (!extend()) return searched;
  }
}

std::string_view TextCursor::take_line() {
  const size_t length = line_length();
  const std::string_view line = std::string_view(window_).substr(place_, length);
  place_ = std::min(place_ + length + 1, window_.size());
  return line.substr(0, line.size() - (ends_with(line, "\r") ? 1 : 0));
}

void TextCursor::skip_byte_order_mark() {
  if (starts_with(rest(kByteOrderMark.size()), kByteOrderMark)) skip(kByteOrderMark.size());
}

void TextCursor::seek(size_t position) {
  stream_->seek(position);
  window_.clear();
  begin_ = position;
  place_ = released_ = 0;
  ended_ = false;
}

void TextCursor::fail(size_t position, const std::string& detail) {
  seek(0);
  size_t line = 1;
  while (begin_ < position && !at_end()) {
    const std::string_view text = rest().substr(0, position - begin_);
    line += static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    begin_ += text.size();
    window_.clear();
  }
  throw IoError(cat(name(), ":", line, ": ", detail));
}

}  // namespace trireme
