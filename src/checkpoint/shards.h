// A model's weights as Hugging Face lays them out: one model.safetensors, or shards model-0000k-of-0000n.safetensors
// with model.safetensors.index.json, which maps every tensor to its file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_io.h"

namespace trireme {

constexpr std::string_view kWeightsName = "model.safetensors";
constexpr std::string_view kIndexName = "model.safetensors.index.json";

/// Deals tensors of these sizes, in order, to shards of at most `limit` bytes; a larger tensor has one of its own.
std::vector<std::vector<size_t>> cut_into_shards(std::span<const uint64_t> sizes, uint64_t limit);
/// Name of shard `k` of `n`, from 0.
std::string shard_name(size_t k, size_t n);
/// The index of these shards' names.
std::string index_text(const std::vector<std::vector<std::string>>& shards, uint64_t total_bytes);

/// The weights of a Hugging Face directory, ours or anyone's. They stay mapped as long as this lives.
class WeightFiles {
 public:
  /// IoError where a file is missing or malformed, or the index and the files disagree.
  explicit WeightFiles(const std::string& folder);

  /// All names, sorted.
  std::vector<std::string> names() const;
  /// The tensor of this name, if there is one; IoError where its type or rank is none that we have.
  std::optional<StoredTensor> find(const std::string& name) const;
  /// IoError naming the folder where there is none.
  StoredTensor at(const std::string& name) const;

 private:
  struct Place {
    size_t file;
    size_t entry;
  };
  void add_indexed(const std::string& index_path);

  std::string folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place> places_;
};

}  // namespace trireme
