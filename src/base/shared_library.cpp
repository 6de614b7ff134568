#include "base/shared_library.h"

#include <dlfcn.h>

#include <utility>

#include "base/error.h"

namespace trireme {
namespace {

constexpr int kMode = RTLD_LAZY | RTLD_GLOBAL;

}  // namespace

SharedLibrary::SharedLibrary(std::string name, const std::vector<std::string>& folders) : name_(std::move(name)) {
  handle_ = dlopen(name_.c_str(), kMode);
  if (handle_ != nullptr) return;
  problem_ = dlerror();
  for (const std::string& folder : folders) {
    const std::string path = cat(folder, "/", name_);
    handle_ = dlopen(path.c_str(), kMode);
    if (handle_ != nullptr) {
      problem_.clear();
      return;
    }
    const std::string reason = dlerror();
    problem_ += cat("; ", reason.find(folder) == std::string::npos ? cat(path, ": ") : "", reason);
  }
}

void* SharedLibrary::function(const char* name) const {
  if (handle_ == nullptr) throw DeviceError(problem_);
  void* found = dlsym(handle_, name);
  if (found == nullptr) throw DeviceError(cat(name_, " has no ", name, ": it is older than this program needs"));
  return found;
}

}  // namespace trireme
