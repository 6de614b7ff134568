#include "checkpoint/save.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "checkpoint/block_file.h"
#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shards.h"
#include "checkpoint/state_hash.h"
#include "checkpoint/store.h"
#include "ops/basic.h"

namespace trireme {
namespace {

constexpr int64_t kChunkBytes = 8 << 20;             // of a tensor, filled and hashed at a time
constexpr uint64_t kSpareBytes = uint64_t{1} << 20;  // for the manifest and the folder

using Records = std::map<std::string, TensorRecord>;

/// A safetensors file to be written.
struct TensorFile {
  std::string name;
  std::vector<const NamedTensor*> tensors;
  SafetensorsPlan plan;
};

/// A box's shape in its file: that of the whole tensor where it is whole.
Shape stored_shape(const NamedTensor& t) {
  if (num_elements(t.box) == t.shape.numel()) return t.shape;
  return t.shape.rank == 1 ? Shape{t.box.rows} : Shape{t.box.rows, t.box.cols};
}

/// A box's name in its file; the manifest knows it under the tensor's own.
std::string stored_name(const NamedTensor& t) {
  if (num_elements(t.box) == t.shape.numel()) return t.name;
  return cat(t.name, "@", t.box.row, "+", t.box.rows, ",", t.box.col, "+", t.box.cols);
}

TensorFile tensor_file(std::string name, std::vector<const NamedTensor*> tensors) {
  std::vector<SafetensorsTensor> planned;
  for (const NamedTensor* t : tensors) planned.push_back({stored_name(*t), t->dtype, stored_shape(*t)});
  const std::pair<std::string, std::string> metadata[] = {{"format", "pt"}};  // what transformers asks for
  SafetensorsPlan plan = plan_safetensors(planned, metadata);
  return {std::move(name), std::move(tensors), std::move(plan)};
}

/// All that will be written, so that its size is known before the first byte is.
struct SavePlan {
  std::vector<TensorFile> weights;
  std::vector<TensorFile> optimizer;                       // one, or none where this rank has no state
  std::vector<std::pair<std::string, std::string>> texts;  // name and content of each small file

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const TensorFile& file : weights) sum += file.plan.file_bytes;
    for (const TensorFile& file : optimizer) sum += file.plan.file_bytes;
    for (const auto& [name, text] : texts) sum += text.size();
    return sum;
  }
};

/// The small files of rank 0: all but the index of the weights.
void plan_texts(SavePlan& plan, const CheckpointContent& content) {
  for (const CarriedFile& file : content.files)
    plan.texts.emplace_back(file.name, read_file(cat(file.folder, "/", file.name)));
  plan.texts.emplace_back(kConfigName, content.config.dump(2) + "\n");
  plan.texts.emplace_back(kTrainerStateName, content.trainer_state.dump(2) + "\n");
}

/// This rank's files of weights, named among those of all ranks, and on rank 0 the index where there are several.
void plan_weights(SavePlan& plan, const CheckpointContent& content, Group& ranks) {
  std::vector<uint64_t> sizes;
  for (const NamedTensor& t : content.weights) {
    CHECK(num_elements(t.box) == t.shape.numel(), t.name, " is not whole");
    sizes.push_back(static_cast<uint64_t>(t.shape.numel() * dtype_size(t.dtype)));
  }
  std::vector<std::vector<size_t>> shards;
  if (!sizes.empty() || ranks.size() == 1) shards = cut_into_shards(sizes, content.shard_bytes);

  // A line a tensor: its shard among this rank's, its size, its name.
  std::string listing;
  for (size_t k = 0; k < shards.size(); ++k)
    for (const size_t i : shards[k]) listing += cat(k, " ", sizes[i], " ", content.weights[i].name, "\n");
  std::vector<std::vector<std::string>> names;
  uint64_t total = 0;
  size_t first = 0;  // of this rank's shards
  const std::vector<std::string> listings = gather_texts(ranks, listing);
  for (size_t r = 0; r < listings.size(); ++r) {
    const size_t begin = names.size();
    if (static_cast<int>(r) == ranks.rank()) first = begin;
    std::istringstream lines(listings[r]);
    size_t shard = 0;
    uint64_t size = 0;
    for (std::string name; lines >> shard >> size && std::getline(lines >> std::ws, name); total += size) {
      names.resize(std::max(names.size(), begin + shard + 1));
      names[begin + shard].push_back(name);
    }
  }
  const size_t count = std::max<size_t>(names.size(), 1);
  for (size_t k = 0; k < shards.size(); ++k) {
    std::vector<const NamedTensor*> tensors;
    for (const size_t i : shards[k]) tensors.push_back(&content.weights[i]);
    plan.weights.push_back(tensor_file(shard_name(first + k, count), std::move(tensors)));
  }
  if (ranks.rank() == 0 && count > 1) plan.texts.emplace_back(kIndexName, index_text(names, total));
}

void plan_optimizer(SavePlan& plan, const CheckpointContent& content, Group& ranks) {
  std::vector<const NamedTensor*> state;
  for (const NamedTensor& t : content.optimizer) state.push_back(&t);
  const std::string name =
      ranks.size() == 1 ? "optimizer.safetensors" : cat("optimizer-rank-", ranks.rank(), ".safetensors");
  if (!state.empty() || ranks.size() == 1) plan.optimizer.push_back(tensor_file(name, std::move(state)));
}

/// Writes the files of one checkpoint and gathers its manifest.
class Writer {
 public:
  Writer(std::string folder, FileSystem& fs, ThreadPool* pool) : folder_(std::move(folder)), fs_(fs), pool_(pool) {
    ctx_.pool = pool;
  }

  Manifest& manifest() { return manifest_; }

  void write_text(std::string_view name, std::string_view text) {
    BlockFile file(folder_, std::string(name), fs_);
    file.write(text);
    failpoint("checkpoint.file");
    manifest_.files.push_back(file.finish());
  }

  /// Streams a file of tensors and notes them in `records`.
  void write_tensors(const TensorFile& planned, Records& records) {
    BlockFile file(folder_, planned.name, fs_);
    file.write(planned.plan.header);
    for (const size_t i : planned.plan.order) {
      const NamedTensor& tensor = *planned.tensors[i];
      CHECK(file.size() == planned.plan.offsets[i], tensor.name, " is not where the header says");
      write_tensor(file, tensor);
      TensorRecord& record = records[tensor.name];
      CHECK(record.parts.empty() || (record.dtype == tensor.dtype && record.shape == tensor.shape), tensor.name);
      record.name = tensor.name;
      record.dtype = tensor.dtype;
      record.shape = tensor.shape;
      record.parts.push_back({manifest_.files.size(), planned.plan.offsets[i], tensor.box});
    }
    failpoint("checkpoint.file");
    manifest_.files.push_back(file.finish());
  }

 private:
  void write_tensor(BlockFile& file, const NamedTensor& tensor) {
    const int64_t element = dtype_size(tensor.dtype), cols = std::max<int64_t>(tensor.box.cols, 1);
    const int64_t rows = std::max<int64_t>(1, kChunkBytes / (cols * element));
    for (int64_t row = 0; row < tensor.box.rows; row += rows) {
      const int64_t n = std::min(rows, tensor.box.rows - row);
      chunk_.resize(static_cast<size_t>(n * tensor.box.cols * element));
      const Shape shape = tensor.shape.rank == 1 ? Shape{n} : Shape{n, tensor.box.cols};
      const Tensor chunk(chunk_.data(), tensor.dtype, kCpu, shape);
      tensor.fill(chunk, row);
      if (const int64_t bad = is_floating(tensor.dtype) ? find_nonfinite(ctx_, chunk) : -1; bad >= 0)
        throw NumericError(cat("no checkpoint is written: ", tensor.name, " has a NaN or Inf in row ",
                               tensor.box.row + row + bad / cols, ", column ", tensor.box.col + bad % cols));
      const Box box{tensor.box.row + row, n, tensor.box.col, tensor.box.cols};
      manifest_.state_hash.add(hash_box(tensor.name, tensor.shape, box, chunk, pool_));
      file.write(chunk_);
    }
  }

  std::string folder_;
  FileSystem& fs_;
  ThreadPool* pool_;
  Ctx ctx_;
  Manifest manifest_;
  std::vector<std::byte> chunk_;
};

/// The folders within a checkpoint that its small files lie in.
std::set<std::string> inner_folders(const SavePlan& plan, const std::string& folder) {
  std::set<std::string> inner;
  for (const auto& [name, text] : plan.texts)
    if (const size_t slash = name.find('/'); slash != std::string::npos)
      inner.insert(cat(folder, "/", name.substr(0, slash)));
  return inner;
}

/// Folders within the folder, itself, then every folder above it up to the run's own entry: any of them may be new.
void sync_folders(const std::string& run_dir, const std::string& folder, const SavePlan& plan, FileSystem& fs) {
  const std::string above =
      std::filesystem::absolute(run_dir + "/.").lexically_normal().parent_path().parent_path().string();
  for (const std::string& path : inner_folders(plan, folder)) fs.sync_directory(path);
  for (const std::string& path : {folder, checkpoints_folder(run_dir), run_dir, above}) fs.sync_directory(path);
}

std::vector<TensorRecord> values_of(Records&& records) {
  std::vector<TensorRecord> values;
  for (auto& [name, record] : records) values.push_back(std::move(record));
  return values;
}

void write_files(const SavePlan& plan, Writer& writer) {
  for (const auto& [name, text] : plan.texts) writer.write_text(name, text);
  Records weights, optimizer;
  for (const TensorFile& file : plan.weights) writer.write_tensors(file, weights);
  for (const TensorFile& file : plan.optimizer) writer.write_tensors(file, optimizer);
  writer.manifest().weights = values_of(std::move(weights));
  writer.manifest().optimizer = values_of(std::move(optimizer));
}

/// Rank 0's preparation: room, and a new folder, whose path it returns.
std::string make_folder(const std::string& run_dir, int64_t step, uint64_t bytes, const SavePlan& plan,
                        FileSystem& fs) {
  try {
    remove_leftovers(run_dir, fs);
  } catch (const IoError& e) {
    log_warn(cat("remains of an earlier save stay: ", e.what()));
  }
  std::string folder = new_checkpoint_path(run_dir, step);
  fs.require_space(checkpoints_folder(run_dir), bytes + kSpareBytes);
  fs.make_directory(folder);
  for (const std::string& path : inner_folders(plan, folder)) fs.make_directory(path);
  return folder;
}

/// The last step, by which the folder becomes a checkpoint.
void write_manifest(const std::string& run_dir, const std::string& folder, const Manifest& manifest,
                    const SavePlan& plan, FileSystem& fs) {
  sync_folders(run_dir, folder, plan, fs);
  failpoint("checkpoint.before_manifest");
  const std::string path = cat(folder, "/", kManifestName);
  try {
    write_file(path, manifest_text(manifest), fs);
  } catch (const IoError&) {
    // Renamed, but perhaps not durable: nobody may take for saved what was reported as failed.
    try {
      fs.remove(path);
    } catch (const IoError&) {  // it was not renamed yet
    }
    throw;
  }
  failpoint("checkpoint.after_manifest");
}

}  // namespace

SavedCheckpoint save_checkpoint(const std::string& run_dir, int64_t step, const CheckpointContent& content,
                                FileSystem& fs, ThreadPool* pool, Group& ranks) {
  const bool first = ranks.rank() == 0;
  SavePlan plan;
  std::string folder;
  do_together(ranks, [&] {
    if (first) plan_texts(plan, content);
  });
  plan_weights(plan, content, ranks);
  plan_optimizer(plan, content, ranks);
  const auto bytes = static_cast<uint64_t>(ranks.all_reduce(static_cast<double>(plan.bytes()), ReduceOp::sum));
  do_together(ranks, [&] {
    if (first) folder = make_folder(run_dir, step, bytes, plan, fs);
  });
  folder = broadcast_text(ranks, folder, 0);

  Writer writer(folder, fs, pool);
  if (first) {
    writer.manifest().step = step;
    writer.manifest().info = content.info;
    writer.manifest().state_hash = hash_text(kTrainerStateName, content.trainer_state.dump());
  }
  do_together(ranks, [&] {
    write_files(plan, writer);
    if (!first) fs.sync_directory(folder);
  });
  if (ranks.size() > 1) {
    const std::vector<std::string> parts = gather_texts(ranks, manifest_text(writer.manifest()));
    for (size_t r = 0; r < parts.size(); ++r) {
      Manifest part = parse_partial_manifest(parts[r], cat("the files of rank ", r));
      if (r == 0)
        writer.manifest() = std::move(part);
      else
        merge(writer.manifest(), part);
    }
  }
  do_together(ranks, [&] {
    if (first) write_manifest(run_dir, folder, writer.manifest(), plan, fs);
  });
  return {folder, writer.manifest().state_hash, bytes};
}

SavedCheckpoint save_checkpoint(const std::string& run_dir, int64_t step, const CheckpointContent& content,
                                FileSystem& fs, ThreadPool* pool) {
  SingleGroup alone;
  return save_checkpoint(run_dir, step, content, fs, pool, alone);
}

}  // namespace trireme
