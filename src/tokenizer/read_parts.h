// Which kind of tokenizer a folder holds, and reading it.
#pragma once

#include <string>

#include "tokenizer/tokenizer.h"

namespace trireme {

/// See Tokenizer::load.
TokenizerParts read_parts(const std::string& folder);

}  // namespace trireme
