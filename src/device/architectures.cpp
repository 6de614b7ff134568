#include "device/architectures.h"

#include <charconv>

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

}  // namespace trireme
