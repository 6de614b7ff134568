// A folder of its own for a test, removed at its end.
#pragma once

#include <filesystem>
#include <string>

namespace trireme::testing {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  std::string path(const std::string& name = "") const { return name.empty() ? path_ : path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace trireme::testing
