#include "tokenizer/stream_decoder.h"

#include <string_view>
#include <utility>

#include "tokenizer/utf8_cut.h"

namespace trireme {

void StreamDecoder::strip_start() {
  const DecodeRules& rules = tokenizer_->spec().decode;
  for (; stripped_ < rules.strip_start && held_.starts_with(rules.strip); ++stripped_)
    held_.erase(0, rules.strip.size());
  if (!held_.empty() && !rules.strip.starts_with(held_)) stripped_ = rules.strip_start;
}

std::string StreamDecoder::push(int32_t id) {
  const DecodeRules& rules = tokenizer_->spec().decode;
  tokenizer_->decode_next(held_, id, state_);
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
  tokenizer_->decode_end(held_, state_);
  for (int64_t i = 0; i < rules.strip_stop && held_.ends_with(rules.strip); ++i) {
    held_.resize(held_.size() - rules.strip.size());
  }
  state_ = {};
  stripped_ = 0;
  return std::exchange(held_, {});
}

}  // namespace trireme
