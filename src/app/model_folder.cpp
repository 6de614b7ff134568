#include "app/model_folder.h"

#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/store.h"

namespace trireme {

std::string model_folder(const std::string& path, ThreadPool& pool) {
  if (!std::filesystem::exists(path)) throw IoError(cat(path, ": there is no such run or folder"));
  if (std::filesystem::exists(path + "/config.json")) return path;
  const OnSkip warn = [](const std::string& skipped, const std::string& reason) {
    log_warn(cat("passed over ", skipped, ": ", reason));
  };
  const std::optional<Checkpoint> newest = newest_valid(path, warn, &pool);
  if (!newest) {
    throw IoError(cat(path,
                      ": neither a model (no config.json) nor a run with a good checkpoint; train it first, or name "
                      "a checkpoint folder"));
  }
  return newest->path();
}

}  // namespace trireme
