// Several token files to one, document by document.
#pragma once

#include <string>
#include <vector>

#include "data/indexed_writer.h"

namespace trireme {

/// Writes the documents of `inputs` (prefixes of any format) one after the other as Megatron's token files OUT.bin and
/// OUT.idx, and OUT.meta.json where all inputs have one. Memory holds a piece of a sequence. ConfigError where the
/// inputs were made with different tokenizers, or one of them is OUT.
TokenCount merge_token_files(const std::string& out, const std::vector<std::string>& inputs,
                             FileSystem& fs = real_file_system());

}  // namespace trireme
