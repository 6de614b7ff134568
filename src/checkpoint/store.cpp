#include "checkpoint/store.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string_view>
#include <system_error>
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

[[noreturn]] void fail(const char* call, const files::path& path, const std::error_code& error) {
  throw IoError(cat(call, " ", path.string(), ": ", error.message()));
}

/// Whether there is anything of this name. IoError where that cannot be found out.
bool is_there(const files::path& path) {
  std::error_code error;
  const bool found = files::exists(path, error);
  if (error) fail("look for", path, error);
  return found;
}

/// A real one, no link to one. IoError where that cannot be found out.
bool is_folder(const files::directory_entry& entry) {
  std::error_code error;
  const files::file_type type = entry.symlink_status(error).type();
  if (error && type != files::file_type::not_found) fail("look at", entry.path(), error);
  return type == files::file_type::directory;
}

/// What is in `folder`, sorted; nothing where it does not exist.
std::vector<files::directory_entry> entries_of(const files::path& folder) {
  std::vector<files::directory_entry> found;
  std::error_code error;
  for (files::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) found.push_back(*it);
  if (error && error != std::errc::no_such_file_or_directory) fail("list", folder, error);
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<files::path> subfolders(const std::string& folder) {
  std::vector<files::path> found;
  for (const files::directory_entry& entry : entries_of(folder))
    if (is_folder(entry)) found.push_back(entry.path());
  return found;
}

void remove_tree(const files::path& folder, FileSystem& fs) {
  for (const files::directory_entry& entry : entries_of(folder)) {
    if (is_folder(entry))
      remove_tree(entry.path(), fs);
    else
      fs.remove(entry.path().string());
    failpoint("checkpoint.removed_file");
  }
  fs.remove(folder.string());
}

/// Folders under names of ours with or without a manifest, the highest step first.
std::vector<CheckpointFolder> list(const std::string& run_dir, bool with_manifest) {
  std::vector<CheckpointFolder> found;
  for (const files::path& path : subfolders(checkpoints_folder(run_dir)))
    if (const auto step = step_of(path.filename().string()); step && is_there(path / kManifestName) == with_manifest)
      found.push_back({path.string(), *step});
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

}  // namespace

std::string checkpoints_folder(const std::string& run_dir) { return cat(run_dir, "/checkpoints"); }

std::string new_checkpoint_path(const std::string& run_dir, int64_t step) {
  std::random_device random;
  for (;;) {
    char name[64];
    std::snprintf(name, sizeof name, "step-%09lld-%06x", static_cast<long long>(step), random() & 0xFFFFFF);
    std::string path = cat(checkpoints_folder(run_dir), "/", name);
    if (!is_there(path)) return path;
  }
}

std::vector<CheckpointFolder> list_checkpoints(const std::string& run_dir) { return list(run_dir, true); }
std::vector<CheckpointFolder> list_unfinished(const std::string& run_dir) { return list(run_dir, false); }

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
    if (step_of(name) && (trash || !is_there(path / kManifestName))) remove_tree(path, fs);
  }
}

}  // namespace trireme
