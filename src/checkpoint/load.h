// Reads checkpoints. Every byte is checked against the manifest before anything is used; damage is an IoError that
// names file, bytes, tensor, expected and found.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/thread_pool.h"
#include "checkpoint/manifest.h"
#include "checkpoint/tensor_io.h"

namespace trireme {

/// all: every byte is checked when a checkpoint is opened. read: what is read is checked when it is, for ranks that
/// each need a part; damage then shows in StoredTensor::read.
enum class Check { all, read };

/// An open checkpoint. Its tensors point into mapped files, which stay as long as this lives.
class Checkpoint {
 public:
  using Tensors = std::map<std::string, StoredTensor>;

  /// Opens and checks the checkpoint in `folder`.
  Checkpoint(const std::string& folder, ThreadPool* pool, Check check = Check::all);

  const std::string& path() const { return path_; }
  const Manifest& manifest() const { return *manifest_; }
  const Json& config() const { return config_; }
  const Json& trainer_state() const { return trainer_state_; }
  const Tensors& weights() const { return weights_; }      // by Hugging Face name
  const Tensors& optimizer() const { return optimizer_; }  // by our name
  /// The tensor of this name; IoError naming the checkpoint where it has none.
  const StoredTensor& weight(const std::string& name) const;
  const StoredTensor& optimizer(const std::string& name) const;

  /// What was read so far; with Check::read only.
  ReadCount read_count() const;

  /// The state hash of what is stored, computed anew.
  Hash128 state_hash(ThreadPool* pool) const;

 private:
  Tensors tensors_of(const std::vector<TensorRecord>& records) const;
  Json read_text(std::string_view name) const;

  std::string path_;
  std::unique_ptr<const Manifest> manifest_;  // stays where it is when this is moved
  std::vector<MappedFile> files_;
  std::vector<std::unique_ptr<LazyBlocks>> blocks_;  // of each file; null where all was checked at once
  Json config_, trainer_state_;
  Tensors weights_, optimizer_;
};

/// The manifest of `folder`, after a look at the files' sizes only. IoError where something is missing.
Manifest read_manifest(const std::string& folder);

/// All that is wrong with a checkpoint's folder, each with file and bytes: damage, missing files, tensor files that the
/// manifest does not know (other tools would open them). Empty where verify_checkpoint would find nothing either.
std::vector<std::string> damage_of(const std::string& folder, ThreadPool* pool);

/// Checks all of a checkpoint, its state hash included, and returns the manifest. IoError says what is wrong.
Manifest verify_checkpoint(const std::string& folder, ThreadPool* pool);

}  // namespace trireme
