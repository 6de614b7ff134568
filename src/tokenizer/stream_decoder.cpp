#include "tokenizer/stream_decoder.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/strings.h"

namespace trireme {
namespace {

/// Whether `bytes` are a proper beginning of some UTF-8 character. Only the second byte is bound by the
/// first, and always to a range that contains the lowest or the highest continuation byte.
bool begins_character(std::string_view bytes) {
  if (utf8_length(bytes, 0) != 0) return false;
  for (const char fill : {'\x80', '\xBF'}) {
    std::string filled(bytes);
    filled.resize(4, fill);
    if (utf8_length(filled, 0) > static_cast<int>(bytes.size())) return true;
  }
  return false;
}

/// Bytes at the end of `text` that begin a character: 0 to 3.
size_t cut_length(std::string_view text) {
  for (size_t n = std::min<size_t>(3, text.size()); n > 0; --n) {
    if (begins_character(text.substr(text.size() - n))) return n;
  }
  return 0;
}

}  // namespace

void StreamDecoder::strip_start() {
  const DecodeRules& rules = tokenizer_->spec().decode;
  for (; stripped_ < rules.strip_start && held_.starts_with(rules.strip); ++stripped_)
    held_.erase(0, rules.strip.size());
  if (!held_.empty() && !rules.strip.starts_with(held_)) stripped_ = rules.strip_start;
}

std::string StreamDecoder::push(int32_t id) {
  const DecodeRules& rules = tokenizer_->spec().decode;
  held_ += first_ ? tokenizer_->first_token(id) : tokenizer_->token(id);
  first_ = false;
  if (stripped_ < rules.strip_start) strip_start();
  if (stripped_ < rules.strip_start) return {};  // what is held may be stripped yet
  size_t whole = held_.size() - cut_length(held_);
  if (whole == held_.size()) {
    const std::string_view held = held_;
    for (int64_t i = 0; i < rules.strip_stop && held.substr(0, whole).ends_with(rules.strip); ++i) {
      whole -= rules.strip.size();
    }
  }
  std::string out = held_.substr(0, whole);
  held_.erase(0, whole);
  return out;
}

std::string StreamDecoder::finish() {
  const DecodeRules& rules = tokenizer_->spec().decode;
  for (int64_t i = 0; i < rules.strip_stop && held_.ends_with(rules.strip); ++i) {
    held_.resize(held_.size() - rules.strip.size());
  }
  first_ = true;
  stripped_ = 0;
  return std::exchange(held_, {});
}

}  // namespace trireme
