// Unicode normalization (UAX #15) and the other rewritings of text that tokenizers ask for, on UTF-8 of the Unicode
// version of unicode_ranges.h. Bytes that are not UTF-8 stay as they are, and nothing combines across them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trireme {

enum class NormalForm : uint8_t { nfd, nfc, nfkd, nfkc };

/// Which characters are known: those of unicode_ranges.h, or of them only those of Unicode 9, with which Hugging Face's
/// tokenizers normalize (all regular expressions of theirs know the newer ones).
enum class NormalData : uint8_t { current, unicode9 };

/// Whether `text` holds only characters that no neighbour changes and that `form` keeps: then normalize() is the
/// identity. Cheap; false says nothing.
bool is_surely_normal(std::string_view text, NormalForm form, NormalData data = NormalData::current);

std::string normalize(std::string_view text, NormalForm form, NormalData data = NormalData::current);

/// Each character's small letter, wherever it stands (so a final sigma is as any other).
std::string to_lower(std::string_view text);

/// Without combining marks (\p{M}).
std::string strip_accents(std::string_view text, NormalData data = NormalData::current);

/// `text` without the white space at its ends that is asked for.
std::string_view strip_white(std::string_view text, bool left, bool right);

}  // namespace trireme
