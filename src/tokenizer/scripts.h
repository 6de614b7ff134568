// Classes of characters that only some parts of a tokenizer.json ask for, each as its original has them, so of other
// Unicode versions than the rest of the room.
#pragma once

#include <cstdint>

namespace trireme {

/// The script of a code point as UnicodeScripts compares them: Han, Hiragana and Katakana are one; a blank and what is
/// not assigned is of any script. A stray byte is what a sign is.
inline constexpr uint8_t kAnyScript = 0;
uint8_t script_of(uint32_t code_point);

/// What BertNormalizer removes, and what it takes for an accent; no stray byte is either.
bool is_bert_control(uint32_t code_point);
bool is_bert_accent(uint32_t code_point);

}  // namespace trireme
