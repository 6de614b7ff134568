// Real data beside the repository, which not every machine has.
#pragma once

#include <filesystem>
#include <string>

namespace trireme::testing {

/// Path of `name` in ../shared; tests that need it skip where it does not exist.
inline std::string shared_path(const std::string& name) {
  return (std::filesystem::path(TRIREME_SOURCE_DIR) / "../shared" / name).string();
}
inline bool has_shared(const std::string& name) { return std::filesystem::exists(shared_path(name)); }

}  // namespace trireme::testing
