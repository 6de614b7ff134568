// NVIDIA's libraries, opened when a GPU is first used. The functions of their headers are defined in blas_library.cpp
// and ops/cuda/cudnn_library.cpp: each hands its arguments on to the library's own. So nothing is linked, and a binary
// with CUDA starts on machines that have none of it.
#pragma once

#include <string>
#include <vector>

#include "base/shared_library.h"

namespace trireme {

/// "libcublasLt.so.13": of the major version of the header that this program was compiled with.
const SharedLibrary& blas_library();

/// Where CUDA's libraries lie when the loader does not know of them: under CUDA_HOME, CUDA_PATH, /usr/local.
std::vector<std::string> cuda_library_folders();

/// Defines the function `name` of a header, which calls the one of `library`.
#define TRIREME_HAND_ON(library, result, name, parameters, arguments)                       \
  result name parameters {                                                                  \
    static auto* const real = reinterpret_cast<decltype(&::name)>(library.function(#name)); \
    return real arguments;                                                                  \
  }

}  // namespace trireme
