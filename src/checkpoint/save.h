// Writes one checkpoint: a Hugging Face directory (config.json, safetensors, tokenizer files) with the optimizer's
// state and the trainer's beside it, and the manifest that makes it one. Data is hashed while it streams by; whoever
// calls says what to save in CheckpointContent and needs to know nothing of files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/thread_pool.h"
#include "checkpoint/tensor_io.h"
#include "comm/group.h"

namespace trireme {

constexpr std::string_view kConfigName = "config.json";
constexpr std::string_view kTrainerStateName = "trainer.json";

/// A file that a checkpoint carries: `name`, which may be FOLDER/NAME, within `folder`.
struct CarriedFile {
  std::string folder, name;
};

struct CheckpointContent {
  std::vector<NamedTensor> weights;      // whole, under Hugging Face names and in Hugging Face orientation
  std::vector<NamedTensor> optimizer;    // "<param>.exp_avg", "<param>.exp_avg_sq", and "<param>.master" where the
                                         // stored weight is not f32; boxes may be saved on their own
  Json config;                           // config.json
  Json trainer_state;                    // trainer.json: part of the state hash, so nothing that differs between equal
                                         // runs (no times)
  Json info = Json::object();            // facts for people, kept in the manifest only
  std::vector<CarriedFile> files;        // copied under their names: tokenizer, generation_config.json
  uint64_t shard_bytes = 5'000'000'000;  // a model.safetensors larger than this is cut between tensors
};

struct SavedCheckpoint {
  std::string path;
  Hash128 state_hash;
  uint64_t bytes = 0;
};

/// Writes RUN_DIR/checkpoints/step-NNNNNNNNN-XXXXXX (a name never used before) and returns once it is durable: data
/// synced, then folder, then manifest under a temporary name, renamed, and every folder above it synced. Clears what
/// killed saves left. Where it throws, no checkpoint has come to be and the earlier ones are as they were; remains are
/// removed by the next save. IoError (no space is found out before anything is written); NumericError naming the
/// first tensor with a NaN or Inf.
SavedCheckpoint save_checkpoint(const std::string& run_dir, int64_t step, const CheckpointContent& content,
                                FileSystem& fs, ThreadPool* pool);

/// The same by many ranks into one folder that all of them see. Each writes files of its own with the tensors of its
/// `content`; together these must be whole. Config, trainer_state, info and files are rank 0's, and it writes the
/// manifest. Where one fails, all throw. What is returned is of the whole checkpoint.
SavedCheckpoint save_checkpoint(const std::string& run_dir, int64_t step, const CheckpointContent& content,
                                FileSystem& fs, ThreadPool* pool, Group& ranks);

}  // namespace trireme
