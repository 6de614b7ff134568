#include "app/pick_device.h"

#include "base/error.h"
#include "device/cuda.h"

namespace trireme {

std::string_view no_gpu_reason() {
  if (!built_with_cuda()) return "this trireme was built without CUDA (build it with the preset 'cuda')";
  return cuda_device_count() > 0 ? "" : "no usable GPU was found (is a driver for CUDA 13 installed?)";
}

Device pick_device(std::string_view word) {
  constexpr Device kGpu{DeviceKind::cuda, 0};
  if (word == "cpu") return kCpu;
  if (word != "auto" && word != "cuda") throw ConfigError(cat("--device is '", word, "', expected auto, cpu or cuda"));
  const std::string_view reason = no_gpu_reason();
  if (reason.empty()) return kGpu;
  if (word == "cuda") throw ConfigError(cat("--device cuda: ", reason, "; use --device cpu"));
  return kCpu;
}

}  // namespace trireme
