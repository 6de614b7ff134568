// Text to token files with a tokenizer at hand, for `trireme prepare` and for a run that has none yet.
#pragma once

#include <string>
#include <vector>

#include "data/prepare.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

/// Encodes all documents of `sources` into PREFIX.bin and PREFIX.idx on all threads and tells how far it is.
/// ConfigError where documents shall end with a token that the tokenizer has not; see prepare() for the rest.
TokenFileInfo make_token_files(const std::vector<std::string>& sources, const TextOptions& text,
                               const std::string& prefix, const Tokenizer& tokenizer, bool append_eos,
                               ThreadPool& pool);

}  // namespace trireme
