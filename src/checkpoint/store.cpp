#include "checkpoint/store.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/strings.h"
#include "checkpoint/manifest.h"

namespace trireme {
namespace {

namespace files = std::filesystem;

constexpr std::string_view kPrefix = "step-", kTrashPrefix = "trash-";
constexpr size_t kMinStepDigits = 9, kWordDigits = 6;

bool is_digits(std::string_view text, std::string_view digits) {
  return !text.empty() && text.find_first_not_of(digits) == std::string_view::npos;
}

/// The step in a name of ours, or nothing.
std::optional<int64_t> step_of(std::string_view name) {
  if (!starts_with(name, kPrefix) || name.size() < kPrefix.size() + kMinStepDigits + 1 + kWordDigits)
    return std::nullopt;
  const size_t dash = name.size() - kWordDigits - 1;
  const std::string_view digits = name.substr(kPrefix.size(), dash - kPrefix.size());
  int64_t step = 0;
  if (name[dash] != '-' || !is_digits(name.substr(dash + 1), "0123456789abcdef") || digits.size() < kMinStepDigits ||
      !is_digits(digits, "0123456789") || !parse_integer(digits, step))
    return std::nullopt;
  return step;
}

/// Paths of the folders in `folder` (real ones, no links); none where it does not exist.
std::vector<files::path> subfolders(const std::string& folder) {
  std::vector<files::path> found;
  std::error_code error;
  for (files::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->symlink_status(error).type() == files::file_type::directory) found.push_back(it->path());
  if (error && error != std::errc::no_such_file_or_directory)
    throw IoError(cat("list ", folder, ": ", error.message()));
  std::sort(found.begin(), found.end());
  return found;
}

void remove_tree(const files::path& folder, FileSystem& fs) {
  std::vector<files::path> inside;
  for (const files::directory_entry& entry : files::directory_iterator(folder)) inside.push_back(entry.path());
  for (const files::path& path : inside) {
    if (files::symlink_status(path).type() == files::file_type::directory)
      remove_tree(path, fs);
    else
      fs.remove(path.string());
    failpoint("checkpoint.removed_file");
  }
  fs.remove(folder.string());
}

}  // namespace

std::string checkpoints_folder(const std::string& run_dir) { return cat(run_dir, "/checkpoints"); }

std::string new_checkpoint_path(const std::string& run_dir, int64_t step) {
  std::random_device random;
  for (;;) {
    char name[64];
    std::snprintf(name, sizeof name, "step-%09lld-%06x", static_cast<long long>(step), random() & 0xFFFFFF);
    std::string path = cat(checkpoints_folder(run_dir), "/", name);
    if (!files::exists(path)) return path;
  }
}

std::vector<CheckpointFolder> list_checkpoints(const std::string& run_dir) {
  std::vector<CheckpointFolder> found;
  for (const files::path& path : subfolders(checkpoints_folder(run_dir)))
    if (const auto step = step_of(path.filename().string()); step && files::exists(path / kManifestName))
      found.push_back({path.string(), *step});
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

std::optional<Checkpoint> newest_valid(const std::string& run_dir, const OnSkip& on_skip, ThreadPool* pool, Check check,
                                       const std::vector<std::string>& passed_over) {
  for (const CheckpointFolder& folder : list_checkpoints(run_dir)) {
    if (std::find(passed_over.begin(), passed_over.end(), folder.path) != passed_over.end()) continue;
    try {
      return Checkpoint(folder.path, pool, check);
    } catch (const IoError& e) {
      on_skip(folder.path, e.what());
    }
  }
  return std::nullopt;
}

void apply_retention(const std::string& run_dir, int64_t keep_last, const OnSkip& on_skip, FileSystem& fs,
                     ThreadPool* pool) {
  if (keep_last == 0) return;
  const std::vector<CheckpointFolder> folders = list_checkpoints(run_dir);
  int64_t good = 0;
  size_t next = 0;
  for (; next < folders.size() && good < keep_last; ++next) {
    try {
      if (good == 0)
        verify_checkpoint(folders[next].path, pool);
      else
        read_manifest(folders[next].path);
      ++good;
    } catch (const IoError& e) {
      on_skip(folders[next].path, e.what());
    }
  }
  for (; next < folders.size(); ++next) {
    const files::path path = folders[next].path;
    const files::path trash = path.parent_path() / cat(kTrashPrefix, path.filename().string());
    fs.rename(path.string(), trash.string());
    fs.sync_directory(path.parent_path().string());  // before any of its files goes
    failpoint("checkpoint.trash");
    remove_tree(trash, fs);
  }
}

void remove_leftovers(const std::string& run_dir, FileSystem& fs) {
  for (const files::path& path : subfolders(checkpoints_folder(run_dir))) {
    std::string name = path.filename().string();
    const bool trash = starts_with(name, kTrashPrefix);
    if (trash) name.erase(0, kTrashPrefix.size());
    if (step_of(name) && (trash || !files::exists(path / kManifestName))) remove_tree(path, fs);
  }
}

}  // namespace trireme
