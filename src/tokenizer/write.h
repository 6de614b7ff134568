// Writing a tokenizer as Hugging Face's files.
#pragma once

#include <string>

#include "base/file.h"
#include "tokenizer/spec.h"

namespace trireme {

/// Writes vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json and tokenizer.json into
/// the existing `folder`, each atomically; read_tokenizer gives back an equal spec.
void write_tokenizer(const TokenizerSpec& spec, const std::string& folder, FileSystem& fs);

}  // namespace trireme
