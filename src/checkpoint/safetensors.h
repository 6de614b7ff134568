// The safetensors container: u64 length N, N bytes of JSON header, then the tensors' bytes without holes. Reading
// checks every rule of the format (and that no size overflows) before anything is trusted; planning gives the header
// of a file to be, byte for byte as the official writer orders it, so that the data can be streamed behind it.
// Format: github.com/huggingface/safetensors, README and safetensors/src/tensor.rs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tensor/tensor.h"

namespace trireme {

/// One tensor of a file as its header states it.
struct SafetensorsEntry {
  std::string name;
  std::string_view type;        // "F32", "BF16", "F8_E4M3", ...
  std::optional<DType> dtype;   // ours, where there is one
  std::vector<int64_t> shape;   // any rank; empty: a scalar
  uint64_t begin = 0, end = 0;  // its bytes, counted from the start of the file
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;                      // in the order of their bytes
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__
};

/// Reads and checks the header of a whole file's bytes; the entries cover the file exactly. IoError with `where`, byte
/// offset, tensor, expected and found for anything else. Never reads outside `file`, never allocates by its numbers.
SafetensorsHeader parse_safetensors(std::string_view file, const std::string& where);

/// A mapped safetensors file.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path) : file_(path), header_(parse_safetensors(file_.text(), path)) {}

  const std::string& path() const { return file_.path(); }
  const SafetensorsHeader& header() const { return header_; }
  std::span<const std::byte> bytes(const SafetensorsEntry& e) const {
    return file_.bytes().subspan(e.begin, e.end - e.begin);
  }

 private:
  MappedFile file_;
  SafetensorsHeader header_;
};

/// A tensor to be written. Names are unique within a file.
struct SafetensorsTensor {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  uint64_t bytes() const { return static_cast<uint64_t>(shape.numel() * dtype_size(dtype)); }
};

/// What a file of these tensors looks like: `header` (length, JSON, spaces up to a multiple of 8), then the tensors in
/// `order` (indices into the input: by dtype, widest first, then by name), each at its `offsets[index]` in the file.
struct SafetensorsPlan {
  std::string header;
  std::vector<size_t> order;
  std::vector<uint64_t> offsets;
  uint64_t file_bytes = 0;
};

/// `metadata` pairs go to __metadata__; transformers wants {"format", "pt"}.
SafetensorsPlan plan_safetensors(std::span<const SafetensorsTensor> tensors,
                                 std::span<const std::pair<std::string, std::string>> metadata);

}  // namespace trireme
