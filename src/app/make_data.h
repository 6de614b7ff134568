// What a run reads, made from data.source where it is missing.
#pragma once

#include "app/run_config.h"
#include "base/thread_pool.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

/// The run's tokenizer; afterwards the token files at data.prefix exist and belong to it. ConfigError where they belong
/// to another one, or where something is missing and there is no data.source.
Tokenizer ensure_data(const RunConfig& config, ThreadPool& pool);

}  // namespace trireme
