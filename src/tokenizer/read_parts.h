// Reading a tokenizer of any kind.
#pragma once

#include <string>

#include "tokenizer/tokenizer.h"

namespace trireme {

/// See Tokenizer::load.
TokenizerParts read_parts(const std::string& path);

}  // namespace trireme
