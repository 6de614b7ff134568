// The checkpoints of a run: RUN_DIR/checkpoints/step-NNNNNNNNN-XXXXXX, a step and a random word, so that no name is
// used twice and nothing is ever written over. What is a good checkpoint is decided by reading it, never by a pointer
// file. A folder under any other name (copied, or renamed to keep it) is neither offered nor touched.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/thread_pool.h"
#include "checkpoint/load.h"

namespace trireme {

struct CheckpointFolder {
  std::string path;
  int64_t step = 0;
};

/// Called with a checkpoint that is not used, and why.
using OnSkip = std::function<void(const std::string& path, const std::string& reason)>;

std::string checkpoints_folder(const std::string& run_dir);
/// A path for a new checkpoint that no folder has yet.
std::string new_checkpoint_path(const std::string& run_dir, int64_t step);

/// Those with a manifest, good or not; the highest step first. Empty where there are none.
std::vector<CheckpointFolder> list_checkpoints(const std::string& run_dir);

/// What killed saves left: folders under our own names without a manifest.
std::vector<CheckpointFolder> list_unfinished(const std::string& run_dir);

/// The one of the highest step that passes every check, if any; with Check::read, whose manifest and small files do.
/// `passed_over`: paths that are not considered.
std::optional<Checkpoint> newest_valid(const std::string& run_dir, const OnSkip& on_skip, ThreadPool* pool,
                                       Check check = Check::all, const std::vector<std::string>& passed_over = {});

/// Deletes what is older than the `keep_last` (1 or more; 0: keep all) newest good ones. Reads the newest good one in
/// full before anything is deleted; the further ones count as good with a sound manifest and files of its sizes.
/// What is deleted is first renamed, so that it is never a checkpoint with holes. IoError where a deletion fails.
void apply_retention(const std::string& run_dir, int64_t keep_last, const OnSkip& on_skip, FileSystem& fs,
                     ThreadPool* pool);

/// Deletes what killed saves and deletions left under our own names. No save may be under way.
void remove_leftovers(const std::string& run_dir, FileSystem& fs);

}  // namespace trireme
