#include "tokenizer/stream_decoder.h"

#include <utility>

#include "tokenizer/utf8_cut.h"

namespace trireme {

std::string StreamDecoder::push(int32_t id) {
  tokenizer_->decode_next(held_, id, state_);
  const size_t whole = held_.size() - cut_length(held_);
  std::string out = held_.substr(0, whole);
  held_.erase(0, whole);
  return out;
}

std::string StreamDecoder::finish() {
  tokenizer_->decode_end(held_, state_);
  state_ = {};
  return std::exchange(held_, {});
}

int64_t text_bytes(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  DecodeState state;
  std::string some;
  size_t bytes = 0;
  for (const int32_t id : ids) {
    if (tokenizer.is_special(id)) continue;
    tokenizer.decode_next(some, id, state);
    bytes += some.size();
    some.clear();
  }
  tokenizer.decode_end(some, state);
  return static_cast<int64_t>(bytes + some.size());
}

}  // namespace trireme
