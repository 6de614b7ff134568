// A shared library that is opened when first needed and not before: a program that can use it starts where it is not
// installed, and says what is missing. It stays open to the end of the process.
#pragma once

#include <string>
#include <vector>

namespace trireme {

class SharedLibrary {
 public:
  /// Looks for a file `name` ("libcublasLt.so.13") where the system's loader looks (LD_LIBRARY_PATH, ld.so.cache), then
  /// in `folders`, in this order. Its functions are seen by libraries that are opened later.
  SharedLibrary(std::string name, const std::vector<std::string>& folders);

  /// Why it could not be opened, with all places that were searched; empty where it is open.
  const std::string& problem() const { return problem_; }

  /// The address of a function. DeviceError with problem() where the library is not open, or with the library's name
  /// where it has no such function: it is older than the header that this program was compiled with.
  void* function(const char* name) const;

 private:
  std::string name_, problem_;
  void* handle_ = nullptr;
};

}  // namespace trireme
