// Where text that is still growing may be shown: not within a character.
#pragma once

#include <cstddef>
#include <string_view>

namespace trireme {

/// Bytes at the end of `text` that begin a character which more bytes may complete: 0 to 3.
size_t cut_length(std::string_view text);

}  // namespace trireme
