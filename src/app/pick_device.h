// Which device a command runs on.
#pragma once

#include <string_view>

#include "device/device.h"

namespace trireme {

/// `auto`: the first GPU where there is one, else the CPU; `cpu`; `cuda`. ConfigError for any other word, and for a GPU
/// that is not there, with the reason.
Device pick_device(std::string_view word);

/// Why a GPU cannot be used; empty where one can.
std::string_view no_gpu_reason();

}  // namespace trireme
