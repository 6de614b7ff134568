// A folder of its own for a test, removed at its end.
#pragma once

#include <filesystem>
#include <string>

namespace trireme::testing {

class TempDir {
 public:
  explicit TempDir(const std::filesystem::path& parent = std::filesystem::temp_directory_path());
  ~TempDir();
  std::string path(const std::string& name = "") const { return name.empty() ? path_ : path_ + "/" + name; }

 private:
  std::string path_;
};

/// Where many small files cost little: memory, where the system offers it.
std::filesystem::path memory_folder();

}  // namespace trireme::testing
