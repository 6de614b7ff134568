// Any bytes as a safetensors file: they are refused with an IoError or give tensors that cover the data exactly, each
// as large as its type and shape say. A file that is planned of the same tensors is read again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/safetensors.h"

namespace {

using namespace trireme;

/// The tensors as they would be written, where we have their types and shapes; else none.
std::vector<SafetensorsTensor> ours(const SafetensorsHeader& header) {
  std::vector<SafetensorsTensor> tensors;
  for (const SafetensorsEntry& e : header.entries) {
    if (!e.dtype || e.shape.size() > kMaxDims) return {};
    SafetensorsTensor& tensor = tensors.emplace_back();
    tensor.name = e.name;
    tensor.dtype = *e.dtype;
    tensor.shape.rank = static_cast<int>(e.shape.size());
    for (size_t d = 0; d < e.shape.size(); ++d) {
      if (e.shape[d] > 4096) return {};  // beside a 0, sizes may be beyond any product
      tensor.shape[static_cast<int>(d)] = e.shape[d];
    }
  }
  return tensors;
}

void plan_again(const std::vector<SafetensorsTensor>& tensors) {
  const std::pair<std::string, std::string> metadata[] = {{"format", "pt"}};
  const SafetensorsPlan plan = plan_safetensors(tensors, metadata);
  std::string file = plan.header;
  file.resize(plan.file_bytes);
  if (parse_safetensors(file, "planned").entries.size() != tensors.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    const SafetensorsHeader header = parse_safetensors(file, "fuzz");
    uint64_t end = header.entries.empty() ? size : header.entries[0].begin;
    for (const SafetensorsEntry& e : header.entries) {
      uint64_t bytes = e.dtype ? static_cast<uint64_t>(dtype_size(*e.dtype)) : 0;
      for (const int64_t n : e.shape) bytes *= static_cast<uint64_t>(n);
      if (e.begin != end || e.end < e.begin || (e.dtype && e.end - e.begin != bytes)) std::abort();
      end = e.end;
    }
    if (end != size) std::abort();
    if (const std::vector<SafetensorsTensor> tensors = ours(header); !tensors.empty()) plan_again(tensors);
  } catch (const IoError&) {}
  return 0;
}
