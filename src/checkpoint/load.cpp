#include "checkpoint/load.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/strings.h"
#include "checkpoint/save.h"
#include "checkpoint/state_hash.h"

namespace trireme {
namespace {

constexpr uint64_t kMaxManifestBytes = uint64_t{1} << 30;

/// ", which hold tensors a and b": what lies in these bytes of file `file`.
std::string describe(const Manifest& manifest, size_t file, uint64_t begin, uint64_t end) {
  std::string first, last;
  uint64_t first_offset = UINT64_MAX, last_offset = 0;
  for (const auto* records : {&manifest.weights, &manifest.optimizer})
    for (const TensorRecord& tensor : *records)
      for (const PartRecord& part : tensor.parts) {
        const uint64_t bytes = static_cast<uint64_t>(num_elements(part.box) * dtype_size(tensor.dtype));
        if (part.file != file || part.offset >= end || part.offset + bytes <= begin) continue;
        if (part.offset < first_offset) std::tie(first, first_offset) = std::pair(tensor.name, part.offset);
        if (part.offset >= last_offset) std::tie(last, last_offset) = std::pair(tensor.name, part.offset);
      }
  if (first.empty()) return "";
  return first == last ? cat(" (tensor ", first, ")") : cat(" (tensors ", first, " to ", last, ")");
}

const StoredTensor& find(const Checkpoint::Tensors& tensors, const std::string& name, const std::string& path) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw IoError(cat(path, ": the tensor ", name, " is missing"));
  return found->second;
}

Manifest parse_manifest_in(const std::string& folder) {
  const std::string path = cat(folder, "/", kManifestName);
  return parse_manifest(read_file(path, kMaxManifestBytes), path);
}

/// Files with tensors, or a list of such, that are none of the manifest's.
std::vector<std::string> unknown_tensor_files(const std::string& folder, const Manifest& manifest) {
  std::vector<std::string> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const bool known = std::any_of(manifest.files.begin(), manifest.files.end(),
                                   [&](const FileRecord& file) { return file.name == name; });
    if (!known && (ends_with(name, ".safetensors") || ends_with(name, ".safetensors.index.json")))
      found.push_back(cat(folder, "/", name, ": the manifest does not list it; it is of another checkpoint"));
  }
  if (error) found.push_back(cat("list ", folder, ": ", error.message()));
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

Manifest read_manifest(const std::string& folder) {
  Manifest manifest = parse_manifest_in(folder);
  for (const FileRecord& file : manifest.files) {
    const std::string name = cat(folder, "/", file.name);
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(name, error);
    if (error) throw IoError(cat(name, ": ", error.message(), "; the manifest lists it"));
    if (size != file.size) throw IoError(cat(name, ": expected ", file.size, " bytes, found ", size));
  }
  return manifest;
}

Checkpoint::Checkpoint(const std::string& folder, ThreadPool* pool, Check check)
    : path_(folder), manifest_(std::make_unique<Manifest>(read_manifest(folder))) {
  for (size_t f = 0; f < manifest_->files.size(); ++f) {
    const FileRecord& record = manifest_->files[f];
    const MappedFile& file = files_.emplace_back(cat(folder, "/", record.name));
    blocks_.push_back(check == Check::read ? std::make_unique<LazyBlocks>(file.bytes(), file.path(), record) : nullptr);
    if (check == Check::all)
      check_blocks(file.bytes(), file.path(), record, pool,
                   [&](uint64_t begin, uint64_t end) { return describe(*manifest_, f, begin, end); });
  }
  config_ = read_text(kConfigName);
  trainer_state_ = read_text(kTrainerStateName);
  weights_ = tensors_of(manifest_->weights);
  optimizer_ = tensors_of(manifest_->optimizer);
}

ReadCount Checkpoint::read_count() const {
  ReadCount sum;
  for (const auto& blocks : blocks_) {
    const ReadCount count = blocks ? blocks->count() : ReadCount{};
    sum.used += count.used;
    sum.checked += count.checked;
  }
  return sum;
}

Json Checkpoint::read_text(std::string_view name) const {
  for (size_t f = 0; f < files_.size(); ++f)
    if (manifest_->files[f].name == name) {
      if (blocks_[f]) blocks_[f]->require(0, files_[f].bytes().size(), name);
      return Json::parse(files_[f].text(), files_[f].path());
    }
  throw IoError(cat(path_, ": ", name, " is missing from the manifest"));
}

Checkpoint::Tensors Checkpoint::tensors_of(const std::vector<TensorRecord>& records) const {
  Tensors tensors;
  for (const TensorRecord& record : records) {
    StoredTensor tensor{record.name, record.dtype, record.shape, {}, path_};
    for (const PartRecord& part : record.parts) {
      const size_t bytes = static_cast<size_t>(num_elements(part.box) * dtype_size(record.dtype));
      tensor.parts.push_back(
          {part.box, files_[part.file].bytes().subspan(part.offset, bytes), blocks_[part.file].get(), part.offset});
      tensor.file = files_[part.file].path();
    }
    tensors.emplace(record.name, std::move(tensor));
  }
  return tensors;
}

const StoredTensor& Checkpoint::weight(const std::string& name) const { return find(weights_, name, path_); }
const StoredTensor& Checkpoint::optimizer(const std::string& name) const { return find(optimizer_, name, path_); }

Hash128 Checkpoint::state_hash(ThreadPool* pool) const {
  Hash128 sum = hash_text(kTrainerStateName, trainer_state_.dump());
  for (const Tensors* tensors : {&weights_, &optimizer_})
    for (const auto& [name, tensor] : *tensors)
      for (const StoredPart& part : tensor.parts) {
        if (part.blocks != nullptr) part.blocks->require(part.offset, part.offset + part.bytes.size(), name);
        const Shape shape = tensor.shape.rank == 1 ? Shape{part.box.rows} : Shape{part.box.rows, part.box.cols};
        const Tensor view(const_cast<std::byte*>(part.bytes.data()), tensor.dtype, kCpu, shape);
        sum.add(hash_box(name, tensor.shape, part.box, view, pool));
      }
  return sum;
}

std::vector<std::string> damage_of(const std::string& folder, ThreadPool* pool) {
  std::vector<std::string> found;
  try {
    const Manifest manifest = parse_manifest_in(folder);
    for (size_t f = 0; f < manifest.files.size(); ++f) {
      const FileRecord& record = manifest.files[f];
      const auto describe_bytes = [&](uint64_t begin, uint64_t end) { return describe(manifest, f, begin, end); };
      try {
        const MappedFile file(cat(folder, "/", record.name));
        for (std::string& text : damage_of_blocks(file.bytes(), file.path(), record, pool, describe_bytes))
          found.push_back(std::move(text));
      } catch (const IoError& e) {
        found.push_back(cat(e.what(), "; the manifest lists it"));
      }
    }
    for (std::string& text : unknown_tensor_files(folder, manifest)) found.push_back(std::move(text));
    if (found.empty()) verify_checkpoint(folder, pool);
  } catch (const IoError& e) {
    found.push_back(e.what());
  }
  return found;
}

Manifest verify_checkpoint(const std::string& folder, ThreadPool* pool) {
  const Checkpoint checkpoint(folder, pool);
  const Hash128 found = checkpoint.state_hash(pool);
  if (found != checkpoint.manifest().state_hash)
    throw IoError(
        cat(folder, ": expected state hash ", checkpoint.manifest().state_hash.str(), ", found ", found.str()));
  return checkpoint.manifest();
}

}  // namespace trireme
