#include "device/architectures.h"

#include <charconv>

#include "base/error.h"

namespace trireme {

bool runs_on(std::string_view architectures, int major, int minor) {
  while (!architectures.empty()) {
    const std::string_view one = architectures.substr(0, architectures.find(','));
    architectures.remove_prefix(one.size() == architectures.size() ? one.size() : one.size() + 1);
    int code = 0;
    const char* end = std::from_chars(one.data(), one.data() + one.size(), code).ptr;
    const bool exactly = end != one.data() + one.size() && *end == 'a';
    if (code / 10 != major) continue;
    if (exactly ? code % 10 == minor : code % 10 <= minor) return true;
  }
  return false;
}

std::string architecture_problem(std::string_view architectures, int major, int minor) {
  constexpr int kOldest = 75, kHopper = 90;  // tensor cores of Hopper want code of its own
  if (runs_on(architectures, major, minor)) return "";
  const int architecture = 10 * major + minor;
  if (architecture < kOldest) return "trireme runs on GPUs of compute capability 7.5 (Turing) and newer";
  return cat("this trireme holds code for ", architectures,
             " only; build it with -DTRIREME_CUDA_ARCHITECTURES=", architecture, architecture == kHopper ? "a" : "");
}

}  // namespace trireme
