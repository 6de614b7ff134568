// Which device a command runs on.
#pragma once

#include <string>
#include <string_view>

#include "device/device.h"

namespace trireme {

/// `auto`: the first GPU where there is one, else the CPU; `cpu`; `cuda`. ConfigError for any other word, and for a GPU
/// that is not there, with the reason. Several processes run on the CPU. Where a build with CUDA falls back to the CPU,
/// a warning says why.
Device pick_device(std::string_view word, int processes = 1);

/// Where what was tuned for a GPU outlives the process: $TRIREME_CACHE, else $XDG_CACHE_HOME/trireme, else
/// ~/.cache/trireme. Empty, and nothing is kept, where TRIREME_CACHE is empty or none of them is set.
std::string user_cache_folder();

}  // namespace trireme
