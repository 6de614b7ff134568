// Normalizers of Hugging Face's tokenizers that go character by character, by lists of their own. Bytes that are not
// UTF-8 stay as they are.
#pragma once

#include <string>
#include <string_view>

namespace trireme {

/// BertNormalizer's clean_text: blanks for white space, no control characters, no U+FFFD.
std::string bert_clean(std::string_view text);

/// BertNormalizer's handle_chinese_chars: a blank on either side of every CJK ideograph.
std::string space_ideographs(std::string_view text);

/// BertNormalizer's strip_accents, behind NFD.
std::string bert_strip_accents(std::string_view text);

/// Nmt: blanks for some white space, format characters and U+FFFD; no control characters.
std::string nmt_clean(std::string_view text);

}  // namespace trireme
