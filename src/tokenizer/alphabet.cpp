#include "tokenizer/alphabet.h"

#include "base/strings.h"

namespace trireme {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr unsigned kNumShifted = 68;

struct Alphabet {
  std::array<uint16_t, 256> character{};          // by byte
  std::array<int16_t, 256 + kNumShifted> byte{};  // by character, -1: none
};

constexpr Alphabet make_alphabet() {
  Alphabet a;
  a.byte.fill(-1);
  unsigned shifted = 256;
  for (unsigned b = 0; b < 256; ++b) {
    const unsigned c = stands_for_itself(b) ? b : shifted++;
    a.character[b] = static_cast<uint16_t>(c);
    a.byte[c] = static_cast<int16_t>(b);
  }
  return a;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::array<uint8_t, 256> alphabet_order() {
  std::array<uint8_t, 256> order{};
  size_t n = 0;
  for (const int16_t byte : kAlphabet.byte) {
    if (byte >= 0) order[n++] = static_cast<uint8_t>(byte);
  }
  return order;
}

std::string spell_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) utf8_append(out, kAlphabet.character[static_cast<uint8_t>(c)]);
  return out;
}

size_t unspell_bytes(std::string& bytes, std::string_view spelling) {
  bytes.clear();
  for (size_t i = 0; i < spelling.size();) {
    const int length = utf8_length(spelling, i);
    const uint32_t c = length == 0 ? 0 : utf8_decode(spelling, i);
    if (c >= kAlphabet.byte.size() || kAlphabet.byte[c] < 0) return i;
    bytes.push_back(static_cast<char>(kAlphabet.byte[c]));
    i += static_cast<size_t>(length);
  }
  return std::string_view::npos;
}

std::string fallback_token(int byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
}

}  // namespace trireme
