// Which GPUs run the machine code that a build holds.
#pragma once

#include <string>
#include <string_view>

namespace trireme {

/// Whether machine code for one of `architectures` ("80,86,90a") runs on a GPU of compute capability major.minor: code
/// for X.Y runs on X.Z with Z >= Y; with an `a`, on X.Y alone (CUDA C++ Programming Guide, "Binary Compatibility").
bool runs_on(std::string_view architectures, int major, int minor);

/// Why a GPU of compute capability major.minor runs none of it, and what to do; empty where it does.
std::string architecture_problem(std::string_view architectures, int major, int minor);

}  // namespace trireme
