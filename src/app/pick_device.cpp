#include "app/pick_device.h"

#include <cstdlib>

#include "base/error.h"
#include "base/log.h"
#include "device/cuda.h"

namespace trireme {

Device pick_device(std::string_view word, int processes) {
  constexpr Device kGpu{DeviceKind::cuda, 0};
  if (word == "cpu") return kCpu;
  if (word != "auto" && word != "cuda") throw ConfigError(cat("--device is '", word, "', expected auto, cpu or cuda"));
  if (processes > 1) {
    if (word == "cuda")
      throw ConfigError(cat("--device cuda with ", processes, " processes is not supported by this version; use one"));
    return kCpu;
  }
  const std::string reason = cuda_problem();
  if (reason.empty()) return kGpu;
  if (word == "cuda") throw ConfigError(cat("--device cuda: ", reason, "; use --device cpu"));
  if (built_with_cuda()) log_warn(cat(reason, "; this runs on the CPU"));
  return kCpu;
}

std::string user_cache_folder() {
  if (const char* own = std::getenv("TRIREME_CACHE")) return own;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0) return cat(cache, "/trireme");
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0) return cat(home, "/.cache/trireme");
  return "";
}

}  // namespace trireme
