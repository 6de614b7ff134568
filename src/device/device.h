// Where data lives and where ops run.
#pragma once

#include <cstdint>
#include <string_view>

namespace trireme {

/// cpu: this machine's memory. cuda: one GPU. meta: shapes only, no memory; ops check and count.
enum class DeviceKind : uint8_t { cpu, cuda, meta };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

constexpr Device kCpu{DeviceKind::cpu, 0};
constexpr Device kMeta{DeviceKind::meta, 0};

std::string_view device_name(DeviceKind kind);

}  // namespace trireme
