// The integer types that token files keep ids in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

/// The type codes of Megatron's format that can hold ids (6 and 7 are floats).
enum class TokenType : uint8_t { u8 = 1, i8 = 2, i16 = 3, i32 = 4, i64 = 5, u16 = 8 };

/// Calls fn with a zero of the C++ type of `type`.
template <class Fn>
constexpr auto with_type(TokenType type, Fn fn) {
  switch (type) {
    case TokenType::u8: return fn(uint8_t{});
    case TokenType::i8: return fn(int8_t{});
    case TokenType::i16: return fn(int16_t{});
    case TokenType::u16: return fn(uint16_t{});
    case TokenType::i32: return fn(int32_t{});
    case TokenType::i64: break;
  }
  return fn(int64_t{});
}

constexpr int64_t token_size(TokenType type) {
  return with_type(type, [](auto zero) { return static_cast<int64_t>(sizeof(zero)); });
}

/// The type that Megatron's writer takes: u16 where the vocabulary has fewer than 65,500 ids, else i32.
constexpr TokenType token_type_for(int64_t vocab_size) { return vocab_size < 65500 ? TokenType::u16 : TokenType::i32; }

/// Appends `ids` to `out` in that type, little endian. Every id must fit.
void pack_ids(std::vector<std::byte>& out, std::span<const int32_t> ids, TokenType type);

}  // namespace trireme
