#include "ops/tuning_file.h"

#include <filesystem>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"

namespace trireme {
namespace {

constexpr uint64_t kMostBytes = uint64_t{16} << 20;  // of a file; a run adds a few hundred an entry

std::string hash_of(const Json& entries) {
  const std::string text = entries.dump();
  return hex(hash64(std::as_bytes(std::span(text.data(), text.size()))));
}

}  // namespace

TuningFile::TuningFile(std::string path, std::string owner) : path_(std::move(path)), owner_(std::move(owner)) {
  std::error_code none;
  if (path_.empty() || !std::filesystem::exists(path_, none)) return;
  try {
    read();
  } catch (const Error& e) {
    entries_.clear();
    log_warn(cat("the tuning of ", path_, " is made anew: ", e.what()));
  }
}

void TuningFile::read() {
  const Json file = Json::parse(read_file(path_, kMostBytes), path_);
  if (file.at("owner").as_string() != owner_) return;
  const Json& entries = file.at("entries");
  if (file.at("hash").as_string() != hash_of(entries)) throw IoError("its hash does not fit its entries");
  for (const auto& [key, value] : entries.members()) entries_[key] = value.as_string();
}

const std::string* TuningFile::find(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

void TuningFile::set(const std::string& key, const std::string& value) {
  entries_[key] = value;
  if (path_.empty()) return;
  Json file = Json::object();
  file["owner"] = owner_;
  Json entries = Json::object();
  for (const auto& [k, v] : entries_) entries[k] = v;
  file["hash"] = hash_of(entries);
  file["entries"] = std::move(entries);
  try {
    if (const auto folder = std::filesystem::path(path_).parent_path(); !folder.empty())
      real_file_system().make_directory(folder.string());
    write_file(path_, file.dump() + "\n");
  } catch (const IoError& e) {
    log_warn(cat("tuning is not kept: ", e.what()));
    path_.clear();
  }
}

}  // namespace trireme
