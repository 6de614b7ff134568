// Decoding one id at a time for people to read: never ends within a UTF-8 character.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tokenizer/tokenizer.h"

namespace trireme {

/// What push() and finish() return, joined, is Tokenizer::decode of the ids, byte for byte.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive the decoder.
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// The bytes that are complete now. Held back are only the first 1 to 3 bytes of a character that may
  /// still be completed, and what the tokenizer may yet change (decode_chain.h); bytes that cannot be UTF-8 pass
  /// through.
  std::string push(int32_t id);
  /// What was held back; the decoder starts anew.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  DecodeState state_;
  std::string held_;
};

/// Bytes of the text that `ids` decode to without their special tokens.
int64_t text_bytes(const Tokenizer& tokenizer, std::span<const int32_t> ids);

}  // namespace trireme
