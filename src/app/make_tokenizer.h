// Training a tokenizer from text files, for `trireme tokenizer train` and for a run that has none yet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/text_reader.h"
#include "tokenizer/train.h"

namespace trireme {

/// Learns a vocabulary as `options` say from all documents of `files` and saves the tokenizer into the folder `out`. A
/// new folder appears with all its files or not at all. IoError where the files hold no text.
Tokenizer make_tokenizer(const std::vector<std::string>& files, const TextOptions& text, const TrainOptions& options,
                         const std::string& out);

}  // namespace trireme
