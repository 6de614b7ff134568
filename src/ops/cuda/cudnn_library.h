// cuDNN, opened at its first use (device/cuda/libraries.h).
#pragma once

#include "base/shared_library.h"

namespace trireme::cuda {

/// "libcudnn.so.9", behind CUDA's run-time compiler, which it looks for by name.
const SharedLibrary& cudnn_library();

}  // namespace trireme::cuda
