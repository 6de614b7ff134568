#include "tokenizer/encoder.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace trireme {
namespace {

constexpr size_t kMaxKeyBytes = 15;

}  // namespace

Encoder::Encoder(const Tokenizer& tokenizer, size_t cache_slots)
    : tokenizer_(&tokenizer),
      cache_(cache_slots),
      shift_(64 - std::countr_zero(cache_slots)),
      special_(tokenizer.spec().special) {
  CHECK(cache_slots >= 2 && std::has_single_bit(cache_slots), cache_slots);
  std::sort(special_.begin(), special_.end(),
            [&](int32_t a, int32_t b) { return tokenizer.token(a).size() > tokenizer.token(b).size(); });
}

void Encoder::encode(std::vector<int32_t>& out, std::string_view text, bool special) {
  size_t begin = 0;
  for (size_t i = 0; special && i < text.size();) {
    const auto found = std::find_if(special_.begin(), special_.end(),
                                    [&](int32_t id) { return text.substr(i).starts_with(tokenizer_->token(id)); });
    if (found == special_.end()) {
      ++i;
      continue;
    }
    encode_plain(out, text.substr(begin, i - begin));
    out.push_back(*found);
    begin = i += tokenizer_->token(*found).size();
  }
  encode_plain(out, text.substr(begin));
}

void Encoder::encode_plain(std::vector<int32_t>& out, std::string_view text) {
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const char* next = split_.next(p, end);
    encode_piece(out, {p, static_cast<size_t>(next - p)}, end);
    p = next;
  }
}

void Encoder::encode_piece(std::vector<int32_t>& out, std::string_view piece, const char* text_end) {
  if (piece.size() > kMaxKeyBytes) {
    tokenizer_->bpe().apply(out, piece, scratch_);
    return;
  }
  const Key key = key_of(piece, text_end);
  const uint64_t mixed = (key.low ^ std::rotl(key.high, 29) * 0xBF58476D1CE4E5B9) * 0x9E3779B97F4A7C15;
  Slot& slot = cache_[static_cast<size_t>(mixed >> shift_)];
  if (slot.key == key) {
    for (size_t i = 0; i < kMaxIds && slot.ids[i] >= 0; ++i) out.push_back(slot.ids[i]);
    return;
  }
  const size_t begin = out.size();
  tokenizer_->bpe().apply(out, piece, scratch_);
  const size_t count = out.size() - begin;
  if (count > kMaxIds) return;
  slot.key = key;
  for (size_t i = 0; i < kMaxIds; ++i) slot.ids[i] = i < count ? out[begin + i] : -1;
}

Encoder::Key Encoder::key_of(std::string_view piece, const char* text_end) {
  uint64_t words[2] = {0, 0};
  const size_t n = piece.size();
  if (text_end - piece.data() >= 16) {
    // Two loads and a mask: copying a variable number of bytes costs more than all the rest of a hit.
    std::memcpy(words, piece.data(), 16);
    const uint64_t partial = (uint64_t{1} << (n % 8 * 8)) - 1;
    words[0] &= n < 8 ? partial : ~uint64_t{0};
    words[1] &= n < 8 ? 0 : partial;
  } else {
    std::memcpy(words, piece.data(), n);
  }
  return {words[0], words[1] | uint64_t{n} << 56};
}

}  // namespace trireme
