// trireme verify: every byte of a checkpoint against its manifest.
#include <filesystem>

#include "app/commands.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "checkpoint/store.h"

namespace trireme {
namespace {

/// `path` itself where it is a checkpoint, else the newest one of the run in it.
std::string checkpoint_at(const std::string& path) {
  if (!std::filesystem::exists(path)) throw IoError(cat(path, ": there is no such run or checkpoint"));
  if (std::filesystem::exists(path + "/" + std::string(kManifestName))) return path;
  const std::vector<CheckpointFolder> found = list_checkpoints(path);
  if (found.empty()) throw IoError(cat(path, ": neither a checkpoint (no ", kManifestName, ") nor a run that has one"));
  return found[0].path;
}

}  // namespace

int cmd_verify(CommandLine& line) {
  std::string path;
  line.positional("RUN|CHECKPOINT", path, "run folder (its newest checkpoint is checked) or checkpoint folder");
  line.example("trireme verify runs/poetry-tiny");
  if (!line.parse()) return kDone;
  ThreadPool pool;
  const Manifest manifest = verify_checkpoint(checkpoint_at(path), &pool);
  print(cat("step ", manifest.step, " state-hash ", manifest.state_hash.str(), "\n"));
  return kDone;
}

}  // namespace trireme
