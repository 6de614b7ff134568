#include "checkpoint/shards.h"

#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace trireme {

std::vector<std::vector<size_t>> cut_into_shards(std::span<const uint64_t> sizes, uint64_t limit) {
  std::vector<std::vector<size_t>> shards(1);
  uint64_t used = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (!shards.back().empty() && used + sizes[i] > limit) {
      shards.emplace_back();
      used = 0;
    }
    shards.back().push_back(i);
    used += sizes[i];
  }
  return shards;
}

std::string shard_name(size_t k, size_t n) {
  if (n == 1) return std::string(kWeightsName);
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", k + 1, n);
  return name;
}

std::string index_text(const std::vector<std::vector<std::string>>& shards, uint64_t total_bytes) {
  std::map<std::string_view, size_t> file_of;
  for (size_t k = 0; k < shards.size(); ++k)
    for (const std::string& name : shards[k]) file_of[name] = k;
  Json map = Json::object();
  for (const auto& [name, k] : file_of) map.members().emplace_back(name, shard_name(k, shards.size()));
  Json tree = Json::object();
  tree["metadata"]["total_size"] = total_bytes;
  tree["weight_map"] = std::move(map);
  return tree.dump(2) + "\n";
}

WeightFiles::WeightFiles(const std::string& folder) : folder_(folder) {
  const std::string single = cat(folder, "/", kWeightsName), index = cat(folder, "/", kIndexName);
  if (std::filesystem::exists(single)) {
    files_.emplace_back(single);
    const std::vector<SafetensorsEntry>& entries = files_[0].header().entries;
    for (size_t e = 0; e < entries.size(); ++e) places_[entries[e].name] = {0, e};
  } else if (std::filesystem::exists(index)) {
    add_indexed(index);
  } else {
    throw IoError(cat(folder, ": expected ", kWeightsName, " or ", kIndexName, ", found neither"));
  }
}

void WeightFiles::add_indexed(const std::string& index_path) {
  const Json tree = read_json(index_path);
  std::map<std::string, std::vector<std::string>> wanted;  // file to names
  try {
    for (const auto& [name, file] : tree.at("weight_map").members()) wanted[file.as_string()].push_back(name);
  } catch (const ConfigError& e) {
    throw IoError(cat(index_path, ": ", e.what()));
  }
  for (const auto& [file, names] : wanted) {
    if (file.empty() || file[0] == '.' || file.find('/') != std::string::npos)
      throw IoError(cat(index_path, ": '", file, "' is no name of a file in this folder"));
    files_.emplace_back(cat(folder_, "/", file));
    std::map<std::string_view, size_t> found;
    const std::vector<SafetensorsEntry>& entries = files_.back().header().entries;
    for (size_t e = 0; e < entries.size(); ++e) found[entries[e].name] = e;
    for (const std::string& name : names) {
      const auto entry = found.find(name);
      if (entry == found.end()) throw IoError(cat(index_path, ": tensor ", name, " is not in ", file, " as it says"));
      places_[name] = {files_.size() - 1, entry->second};
    }
  }
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : places_) names.push_back(name);
  return names;
}

std::optional<StoredTensor> WeightFiles::find(const std::string& name) const {
  const auto place = places_.find(name);
  if (place == places_.end()) return std::nullopt;
  const SafetensorsFile& file = files_[place->second.file];
  const SafetensorsEntry& entry = file.header().entries[place->second.entry];
  if (!entry.dtype || entry.shape.size() > kMaxDims)
    throw IoError(cat(file.path(), ": tensor ", name, ": type ", entry.type, " with ", entry.shape.size(),
                      " dimensions cannot be read here"));
  Shape shape;
  for (const int64_t size : entry.shape) shape[shape.rank++] = size;
  return StoredTensor{name, *entry.dtype, shape, {{whole_box(shape), file.bytes(entry)}}, file.path()};
}

StoredTensor WeightFiles::at(const std::string& name) const {
  std::optional<StoredTensor> tensor = find(name);
  if (!tensor) throw IoError(cat(folder_, ": the tensor ", name, " is missing"));
  return *std::move(tensor);
}

}  // namespace trireme
