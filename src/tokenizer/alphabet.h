// The byte-level alphabet of GPT-2's files: each byte is spelled as one printable character, so that
// tokens are JSON strings and words of a line. 188 bytes stand for themselves, the others, in order, for
// U+0100 and up (space is U+0120, newline U+010A).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace trireme {

/// Bytes in the order of their characters: the ids 0 to 255 of GPT-2 and of what we train.
std::array<uint8_t, 256> alphabet_order();

std::string spell_bytes(std::string_view bytes);

/// The bytes that `spelling` stands for. Returns npos, or the offset of the first character that stands
/// for no byte.
size_t unspell_bytes(std::string& bytes, std::string_view spelling);

/// How byte fallback spells the token of a byte: <0x0A>.
std::string fallback_token(int byte);

}  // namespace trireme
