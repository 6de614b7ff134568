// What a run reads, made from data.source where it is missing.
#pragma once

#include "app/run_config.h"
#include "base/thread_pool.h"
#include "data/indexed.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

/// The run's tokenizer; afterwards the token files at data.prefix, or of data.blend, exist and belong to it.
/// ConfigError where they belong to another one, or where something is missing and there is no data.source.
Tokenizer ensure_data(const RunConfig& config, ThreadPool& pool);

/// The token files of the run, as data.prefix or data.blend names them.
std::vector<IndexedDataset> open_token_files(const DataConfig& config, int64_t vocab_size);

}  // namespace trireme
