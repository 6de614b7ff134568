// Where a command finds a model: in a run, a checkpoint, or any Hugging Face folder.
#pragma once

#include <string>

#include "base/thread_pool.h"

namespace trireme {

/// `path` itself where it holds a config.json, else the newest good checkpoint of the run in it; damaged ones are
/// passed over with a warning. IoError where there is none.
std::string model_folder(const std::string& path, ThreadPool& pool);

}  // namespace trireme
