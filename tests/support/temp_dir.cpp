#include "support/temp_dir.h"

#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace trireme::testing {

TempDir::TempDir(const std::filesystem::path& parent) {
  std::string pattern = (parent / "trireme-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path memory_folder() {
  const std::filesystem::path memory = "/dev/shm";
  return access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
}

}  // namespace trireme::testing
