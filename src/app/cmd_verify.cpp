// trireme verify: every byte of a checkpoint against its manifest.
#include <filesystem>

#include "app/commands.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "base/log.h"
#include "checkpoint/save.h"
#include "checkpoint/store.h"

namespace trireme {
namespace {

bool has_manifest(const std::string& folder) { return std::filesystem::exists(cat(folder, "/", kManifestName)); }

/// The newest checkpoint of a run. Says aloud which saves did not come to their end.
std::string newest_of(const std::string& run_dir) {
  const std::vector<CheckpointFolder> found = list_checkpoints(run_dir), unfinished = list_unfinished(run_dir);
  for (const CheckpointFolder& folder : unfinished)
    log_warn(cat(folder.path, " is no checkpoint (no ", kManifestName,
                 "): its save was cut off; the run's next save removes it"));
  if (!found.empty()) return found[0].path;
  if (std::filesystem::exists(cat(run_dir, "/", kConfigName)))
    throw IoError(cat(run_dir, ": there is no ", kManifestName,
                      ": a checkpoint whose save was cut off, or none of trireme's; nothing says what it must hold"));
  throw IoError(cat(run_dir, ": neither a checkpoint (no ", kManifestName, ") nor a run that has one"));
}

/// All that is wrong, and what a run would go on from.
[[noreturn]] void refuse(const std::string& path, const std::vector<std::string>& damage, ThreadPool& pool) {
  std::string text = damage[0];
  for (size_t i = 1; i < damage.size(); ++i) text += "\n  " + damage[i];
  if (has_manifest(path)) throw IoError(text);
  const auto silently = [](const std::string&, const std::string&) {};
  const std::optional<Checkpoint> good = newest_valid(path, silently, &pool);
  throw IoError(
      cat(text, "; ",
          good ? cat("the newest good checkpoint of the run is ", good->path()) : "the run has no good checkpoint"));
}

}  // namespace

int cmd_verify(CommandLine& line) {
  std::string path;
  line.positional("RUN|CHECKPOINT", path, "run folder (its newest checkpoint is checked) or checkpoint folder");
  line.example("trireme verify runs/poetry-tiny");
  if (!line.parse()) return kDone;
  if (!std::filesystem::exists(path)) throw IoError(cat(path, ": there is no such run or checkpoint"));
  ThreadPool pool;
  const std::string folder = has_manifest(path) ? path : newest_of(path);
  const std::vector<std::string> damage = damage_of(folder, &pool);
  if (!damage.empty()) refuse(path, damage, pool);
  const Manifest manifest = read_manifest(folder);
  print(cat("step ", manifest.step, " state-hash ", manifest.state_hash.str(), "\n"));
  return kDone;
}

}  // namespace trireme
