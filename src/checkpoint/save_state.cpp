#include "checkpoint/save_state.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/numeric.h"
#include "base/thread.h"
#include "checkpoint/model_io.h"
#include "device/memory.h"
#include "models/names.h"

namespace trireme {
namespace {

constexpr uint64_t kInFlight = uint64_t{64} << 20;  // bytes of weights that may be under way between ranks
constexpr uint64_t kLeastShare = uint64_t{64}
                                 << 20;  // a rank that would write less of the weights leaves them to others

/// Brings the weights together on the ranks that write them.
class WeightExchange {
 public:
  WeightExchange(const RankState& state, Group& ranks)
      : state_(state), ranks_(ranks), disks_(disk_tensors(*state.model, *state.params)) {
    for (const DiskTensor& disk : disks_)
      sizes_.push_back(static_cast<uint64_t>(disk.shape.numel() * dtype_size(state.weight_dtype)));
    choose_writers();
    gather_boxes();
  }

  /// Whole tensors that this rank writes, as views of `memory`.
  std::vector<NamedTensor> run(Buffer& memory) {
    int64_t bytes = 0;
    for (size_t i = 0; i < disks_.size(); ++i) bytes += writes(i) ? padded(i) : 0;
    memory = Buffer("weights to be written", kCpu, bytes);
    std::vector<NamedTensor> out;
    int64_t offset = 0;
    uint64_t under_way = 0;
    for (size_t i = 0; i < disks_.size(); ++i) {
      Tensor whole;
      if (writes(i)) {
        whole = memory.view(state_.weight_dtype, param_shape(disks_[i]), offset);
        offset += padded(i);
      }
      assemble(i, whole);
      if (writes(i)) out.push_back(named(disks_[i].name, disks_[i].transposed ? transpose(whole) : whole));
      if ((under_way += sizes_[i]) < kInFlight) continue;
      ranks_.barrier();
      under_way = 0;
    }
    return out;
  }

 private:
  bool writes(size_t i) const { return writers_[i] == ranks_.rank(); }
  int64_t padded(size_t i) const { return round_up(static_cast<int64_t>(sizes_[i]), kAlignment); }
  /// The shape of the rows of our parameter that a tensor on disk is.
  static Shape param_shape(const DiskTensor& disk) {
    Shape shape = disk.shape;
    if (disk.transposed) std::swap(shape[0], shape[1]);
    return shape;
  }

  /// Neighbours in the model to one rank, each about as many bytes as the next.
  void choose_writers() {
    const uint64_t total = std::accumulate(sizes_.begin(), sizes_.end(), uint64_t{0});
    const uint64_t least = std::min(kLeastShare, state_.shard_bytes);
    const uint64_t writers = std::clamp<uint64_t>(total / least, 1, static_cast<uint64_t>(ranks_.size()));
    uint64_t before = 0;
    for (const uint64_t size : sizes_) {
      writers_.push_back(static_cast<int>((before + size / 2) * writers / std::max<uint64_t>(total, 1)));
      before += size;
    }
  }

  /// Every rank learns which boxes of weights all have: by parameter and rank, in the order in which they are sent.
  void gather_boxes() {
    std::map<const Param*, int64_t> index;
    for (const Param& param : *state_.params) index.emplace(&param, static_cast<int64_t>(index.size()));
    std::vector<int64_t> mine;  // parameter, row, rows, col, cols
    for (const StatePiece& piece : state_.weights)
      for (const PieceBox& part : boxes_of(piece)) {
        mine.insert(mine.end(), {index.at(piece.param), part.box.row, part.box.rows, part.box.col, part.box.cols});
        views_[piece.param->spec.name].push_back(part);
      }
    const auto tensor = [](std::vector<int64_t>& v) {
      return Tensor(v.data(), DType::i64, kCpu, {static_cast<int64_t>(v.size())});
    };
    std::vector<int64_t> count{static_cast<int64_t>(mine.size())}, counts(static_cast<size_t>(ranks_.size()));
    ranks_.all_gather(tensor(counts), tensor(count));
    const size_t most = static_cast<size_t>(*std::max_element(counts.begin(), counts.end()));
    mine.resize(most);
    std::vector<int64_t> all(most * counts.size());
    ranks_.all_gather(tensor(all), tensor(mine));
    for (size_t r = 0; r < counts.size(); ++r)
      for (size_t i = 0; i < static_cast<size_t>(counts[r]); i += 5) {
        const int64_t* n = all.data() + r * most + i;
        std::vector<std::vector<Box>>& by_rank = boxes_[(*state_.params)[static_cast<size_t>(n[0])].spec.name];
        by_rank.resize(counts.size());
        by_rank[r].push_back({n[1], n[2], n[3], n[4]});
      }
  }

  /// Tensor `i`, row-major in our orientation: each rank's boxes of it as one message, in rank order.
  void assemble(size_t i, const Tensor& whole) {
    const DiskTensor& disk = disks_[i];
    const Box rows = box_in_param(disk);
    const auto found = boxes_.find(disk.param->spec.name);
    CHECK(found != boxes_.end(), "no rank has ", disk.param->spec.name);
    int64_t covered = 0;
    for (size_t r = 0; r < found->second.size(); ++r) {
      int64_t elements = 0;
      for (const Box& box : found->second[r]) elements += num_elements(intersect(box, rows));
      covered += elements;
      const bool mine = static_cast<int>(r) == ranks_.rank();
      if (elements == 0 || (!mine && !writes(i))) continue;
      message_.resize(static_cast<size_t>(elements * dtype_size(state_.weight_dtype)));
      const Tensor message(message_.data(), DType::u8, kCpu, {static_cast<int64_t>(message_.size())});
      if (mine) pack(disk, rows);
      failpoint("checkpoint.exchange");
      if (mine && !writes(i)) ranks_.send(message, writers_[i]);
      if (!mine) ranks_.recv(message, static_cast<int>(r));
      if (writes(i)) unpack(whole, found->second[r], rows);
    }
    CHECK(covered == num_elements(rows), disk.name, ": ranks hold ", covered, " of ", num_elements(rows), " elements");
  }

  void pack(const DiskTensor& disk, const Box& rows) {
    std::byte* to = message_.data();
    for (const PieceBox& part : views_[disk.param->spec.name]) {
      const Box shared = intersect(part.box, rows);
      to += copy_box(to, part.view, part.box, shared, true);
    }
  }
  void unpack(const Tensor& whole, const std::vector<Box>& boxes, const Box& rows) {
    std::byte* from = message_.data();
    for (const Box& box : boxes) from += copy_box(from, whole, rows, intersect(box, rows), false);
  }
  /// Between packed rows and the box `shared` of a tensor that holds the box `held`; returns the packed bytes.
  int64_t copy_box(std::byte* packed, const Tensor& t, const Box& held, const Box& shared, bool out) const {
    const MatrixView m = matrix_view(t);
    const int64_t size = dtype_size(t.dtype), bytes = shared.cols * size, stride = m.row_stride * size;
    std::byte* rows = m.data + (shared.row - held.row) * stride + (shared.col - held.col) * size;
    if (num_elements(shared) == 0) return 0;
    if (out)
      copy_memory_rows(kCpu, packed, bytes, t.device, rows, stride, bytes, shared.rows);
    else
      copy_memory_rows(t.device, rows, stride, kCpu, packed, bytes, bytes, shared.rows);
    return shared.rows * bytes;
  }

  const RankState& state_;
  Group& ranks_;
  std::vector<DiskTensor> disks_;
  std::vector<uint64_t> sizes_;                                 // of disks_, in bytes
  std::vector<int> writers_;                                    // of disks_
  std::map<std::string, std::vector<PieceBox>> views_;          // this rank's, by parameter
  std::map<std::string, std::vector<std::vector<Box>>> boxes_;  // by parameter and rank
  std::vector<std::byte> message_;
};

}  // namespace

SavedCheckpoint save_state(const std::string& run_dir, int64_t step, const RankState& state, FileSystem& fs,
                           ThreadPool* pool, Group& ranks) {
  WeightExchange exchange(state, ranks);
  Buffer memory;
  CheckpointContent content;
  content.weights = exchange.run(memory);
  for (const StatePiece& piece : state.optimizer)
    for (const PieceBox& part : boxes_of(piece)) content.optimizer.push_back(named_state(piece, part));
  content.config = state.model->to_json();
  content.trainer_state = state.trainer_state;
  content.info = state.info;
  content.files = state.files;
  content.shard_bytes = state.shard_bytes;
  return save_checkpoint(run_dir, step, content, fs, pool, ranks);
}

int64_t copy_bytes(const RankState& state) {
  int64_t sum = 0;
  for (const auto* pieces : {&state.weights, &state.optimizer})
    for (const StatePiece& piece : *pieces)
      for (const Tensor* t : {&piece.values, &piece.companion})
        sum += t->defined() ? round_up(t->bytes(), kAlignment) : 0;
  return sum;
}

BackgroundSave::BackgroundSave(int64_t max_bytes, Group& ranks, FileSystem& fs)
    : ranks_(ranks), fs_(fs), copy_("copy of the state to be saved", kCpu, max_bytes) {
  fill_memory(kCpu, copy_.data(), 0, max_bytes);  // pages are made now, not in the first copy
}

BackgroundSave::~BackgroundSave() {
  if (thread_.joinable()) thread_.join();
}

void BackgroundSave::copy_pieces(RankState& state, ThreadPool& pool) {
  struct Copy {
    std::byte* to;
    Device device;
    const std::byte* from;
    int64_t bytes;
  };
  constexpr int64_t kChunk = 1 << 20;
  std::vector<Copy> copies;
  int64_t offset = 0;
  for (auto* pieces : {&state.weights, &state.optimizer})
    for (StatePiece& piece : *pieces)
      for (Tensor* from : {&piece.values, &piece.companion}) {
        if (!from->defined()) continue;
        const Tensor to = copy_.view(from->dtype, from->shape, offset);
        for (int64_t at = 0; at < to.bytes(); at += kChunk)
          copies.push_back({to.as<std::byte>() + at, from->device, from->as<const std::byte>() + at,
                            std::min(kChunk, to.bytes() - at)});
        offset += round_up(to.bytes(), kAlignment);
        *from = to;
      }
  pool.parallel_for(static_cast<int64_t>(copies.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Copy& c = copies[static_cast<size_t>(i)];
      copy_memory(kCpu, c.to, c.device, c.from, c.bytes);
    }
  });
}

void BackgroundSave::start(const std::string& run_dir, int64_t step, RankState state, ThreadPool& pool,
                           std::function<void()> after) {
  CHECK(!under_way(), "a save is under way");
  copy_pieces(state, pool);
  failpoint("checkpoint.copied");
  error_ = nullptr;
  busy_ = true;
  thread_ = start_thread([this, run_dir, step, state = std::move(state), after = std::move(after)] {
    try {
      saved_ = save_state(run_dir, step, state, fs_, nullptr, ranks_);
      do_together(ranks_, [&] {
        if (ranks_.rank() == 0) after();
      });
    } catch (...) {
      error_ = std::current_exception();
    }
    busy_ = false;
  });
}

std::optional<SavedCheckpoint> BackgroundSave::finish() {
  if (!under_way()) return std::nullopt;
  thread_.join();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return saved_;
}

}  // namespace trireme
