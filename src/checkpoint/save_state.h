// Saves the state that ranks hold between them: every weight is brought together on the rank that writes it, so that
// the files are those of a Hugging Face directory whatever the layout was; optimizer state is written where it lies. In
// the background, if asked: the state is copied, and a thread of its own does the rest.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/save.h"
#include "checkpoint/state_piece.h"
#include "tensor/buffer.h"

namespace trireme {

/// What a rank gives to a checkpoint. Every element of the model's state is in a piece of exactly one rank.
struct RankState {
  const ModelConfig* model = nullptr;
  const ParamTable* params = nullptr;  // every rank's declares all parameters in one order
  DType weight_dtype = DType::f32;
  std::vector<StatePiece> weights, optimizer;
  Json trainer_state, info = Json::object();  // as in CheckpointContent; rank 0's count
  std::vector<CarriedFile> files;
  uint64_t shard_bytes = CheckpointContent().shard_bytes;
};

/// As save_checkpoint. All ranks call it, and nobody else uses `ranks` meanwhile.
SavedCheckpoint save_state(const std::string& run_dir, int64_t step, const RankState& state, FileSystem& fs,
                           ThreadPool* pool, Group& ranks);

/// One save at a time, written while training goes on.
class BackgroundSave {
 public:
  /// `ranks` is used by the writing thread from start() to finish(): a group of its own. `max_bytes`: of the state of
  /// this rank; its copy's memory is taken here.
  BackgroundSave(int64_t max_bytes, Group& ranks, FileSystem& fs);
  ~BackgroundSave();
  BackgroundSave(const BackgroundSave&) = delete;
  BackgroundSave& operator=(const BackgroundSave&) = delete;

  /// Copies the pieces, by `pool`'s threads, and returns; the state may change then. None may be under way. After a
  /// save that went well rank 0's thread calls `after`; what that throws is as if the save had.
  void start(
      const std::string& run_dir, int64_t step, RankState state, ThreadPool& pool, std::function<void()> after = [] {});
  /// Waits for the save that is under way: what save_state returned or threw. Nothing where none is.
  std::optional<SavedCheckpoint> finish();
  /// Whether one has been started and not been asked for by finish().
  bool under_way() const { return thread_.joinable(); }
  /// Whether finish() would wait.
  bool busy() const { return busy_; }

  int64_t bytes() const { return copy_.bytes(); }

 private:
  void copy_pieces(RankState& state, ThreadPool& pool);

  Group& ranks_;
  FileSystem& fs_;
  Buffer copy_;
  std::thread thread_;
  std::atomic<bool> busy_{false};
  SavedCheckpoint saved_;
  std::exception_ptr error_;
};

/// Bytes of the state's pieces, each with the padding that a copy of it has.
int64_t copy_bytes(const RankState& state);

}  // namespace trireme
