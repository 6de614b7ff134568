#include "tokenizer/encoder.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace trireme {
namespace {

constexpr size_t kMaxKeyBytes = 23;

/// By length, what is left of three words that hold that many bytes of a piece and whatever follows it.
struct Masks {
  uint64_t words[kMaxKeyBytes + 1][3] = {};
  constexpr Masks() {
    for (size_t n = 0; n <= kMaxKeyBytes; ++n) {
      for (size_t byte = 0; byte < n; ++byte) words[n][byte / 8] |= uint64_t{0xFF} << (byte % 8 * 8);
    }
  }
};
constexpr Masks kMasks;

}  // namespace

Encoder::Encoder(const Tokenizer& tokenizer, size_t cache_slots)
    : tokenizer_(&tokenizer), cache_(cache_slots), shift_(64 - std::countr_zero(cache_slots)) {
  CHECK(cache_slots >= 2 && std::has_single_bit(cache_slots), cache_slots);
}

void Encoder::encode(std::vector<int32_t>& out, std::string_view text, bool special) {
  special_ = special;
  around_tokens(out, tokenizer_->added(), text, [&](std::string_view part) {
    const bool head = part.data() == text.data();
    const std::optional<std::string> normalized = tokenizer_->normalizer().apply(part, regex_scratch_);
    encode_normalized(out, normalized ? *normalized : part, head);
  });
}

template <class F>
void Encoder::around_tokens(std::vector<int32_t>& out, const AddedTokens& added, std::string_view text, F on_text) {
  if (!added.any(special_)) return on_text(text);
  std::vector<AddedTokens::Found> found;
  added.find_all(found, text, special_);
  size_t done = 0;
  for (const AddedTokens::Found& token : found) {
    if (token.begin > done) on_text(text.substr(done, token.begin - done));
    out.push_back(token.id);
    done = token.end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

void Encoder::encode_normalized(std::vector<int32_t>& out, std::string_view text, bool head) {
  around_tokens(out, tokenizer_->added_normalized(), text,
                [&](std::string_view part) { encode_pieces(out, part, head && part.data() == text.data()); });
}

void Encoder::encode_pieces(std::vector<int32_t>& out, std::string_view text, bool head) {
  const PreTokenizer& pre_tokenizer = tokenizer_->pre_tokenizer();
  if (const std::optional<SplitPattern> scanner = pre_tokenizer.scanner()) {
    with_split(*scanner, [&](const auto& split) {
      const char* end = text.data() + text.size();
      for (const char* p = text.data(); p < end;) {
        const char* next = split.next(p, end);
        encode_piece(out, {p, static_cast<size_t>(next - p)}, end);
        p = next;
      }
    });
    return;
  }
  pieces_.text = text;
  pieces_.head = head;
  pre_tokenizer.apply(pieces_, regex_scratch_);
  const char *begin = pieces_.text.data(), *end = begin + pieces_.text.size();
  for (const Span span : pieces_.spans) encode_piece(out, {begin + span.begin, span.end - span.begin}, end);
}

void Encoder::encode_piece(std::vector<int32_t>& out, std::string_view piece, const char* text_end) {
  if (piece.size() > kMaxKeyBytes) {
    tokenizer_->bpe().apply(out, piece, scratch_);
    return;
  }
  const Key key = key_of(piece, text_end);
  const uint64_t mixed = (key.words[0] ^ std::rotl(key.words[1], 29) * 0xBF58476D1CE4E5B9 ^
                          std::rotl(key.words[2], 43) * 0x94D049BB133111EB) *
                         0x9E3779B97F4A7C15;
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
  Key key;
  const size_t n = piece.size();
  if (text_end - piece.data() >= static_cast<std::ptrdiff_t>(sizeof key.words)) {
    // Three loads and masks: copying a variable number of bytes costs more than all the rest of a hit.
    std::memcpy(key.words, piece.data(), sizeof key.words);
    for (int i = 0; i < 3; ++i) key.words[i] &= kMasks.words[n][i];
  } else {
    std::memcpy(key.words, piece.data(), n);
  }
  key.words[2] |= uint64_t{n} << 56;
  return key;
}

}  // namespace trireme
