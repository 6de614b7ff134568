#include "exec/schedule.h"

#include <algorithm>

#include "base/error.h"

namespace trireme {
namespace {

/// A micro-batch on one chunk of a rank.
struct Work {
  int micro_batch, chunk;
};

/// The order of a rank's forwards (or backwards): as many micro-batches as there are ranks go through the first (last)
/// chunk, then through the next, and so on, before others follow. Equal on all ranks.
std::vector<Work> order_of_work(const PipelineShape& shape, int micro_batches, bool backward) {
  std::vector<Work> order;
  for (int first = 0; first < micro_batches; first += shape.ranks)
    for (int i = 0; i < shape.chunks; ++i)
      for (int mb = first; mb < std::min(first + shape.ranks, micro_batches); ++mb)
        order.push_back({mb, backward ? shape.chunks - 1 - i : i});
  return order;
}

/// All ranks at work in step.
class Pipeline {
 public:
  Pipeline(const PipelineShape& shape, int micro_batches)
      : shape_(shape),
        forwards_(order_of_work(shape, micro_batches, false)),
        backwards_(order_of_work(shape, micro_batches, true)),
        ranks_(static_cast<size_t>(shape.ranks)),
        forward_done_(static_cast<size_t>(shape.stages())),
        backward_done_(forward_done_) {}

  enum class Step { none, forward, backward };
  /// What `rank` does next, given what all have done so far.
  Step next(int rank) const {
    const Progress& p = ranks_[static_cast<size_t>(rank)];
    const bool backward = p.backward < backwards_.size() && backward_ready(rank, backwards_[p.backward]);
    if (backward && is_last(rank, backwards_[p.backward])) return Step::backward;
    if (p.forward < forwards_.size() && forward_ready(rank, p, forwards_[p.forward])) return Step::forward;
    return backward ? Step::backward : Step::none;
  }
  Work take(int rank, Step step) {
    Progress& p = ranks_[static_cast<size_t>(rank)];
    const Work work = step == Step::forward ? forwards_[p.forward++] : backwards_[p.backward++];
    ++(step == Step::forward ? forward_done_ : backward_done_)[index(rank, work)];
    return work;
  }
  bool finished() const {
    return std::all_of(ranks_.begin(), ranks_.end(),
                       [&](const Progress& p) { return p.backward == backwards_.size(); });
  }

 private:
  struct Progress {
    size_t forward = 0, backward = 0;
  };
  size_t index(int rank, const Work& work) const { return static_cast<size_t>(shape_.stage(rank, work.chunk)); }
  bool is_last(int rank, const Work& work) const { return shape_.stage(rank, work.chunk) == shape_.stages() - 1; }
  /// How many forwards may wait for their backward: what keeps everyone busy until the first backward comes.
  size_t in_flight_limit(int rank) const {
    const int behind = shape_.ranks - 1 - rank;
    return static_cast<size_t>(shape_.chunks == 1 ? behind + 1 : (shape_.chunks - 1) * shape_.ranks + 2 * behind + 1);
  }
  // Micro-batches pass a stage in their order, so that a count says which ones are through.
  bool forward_ready(int rank, const Progress& p, const Work& work) const {
    if (p.forward - p.backward >= in_flight_limit(rank)) return false;
    if (is_last(rank, work) &&
        (backwards_[p.backward].chunk != work.chunk || backwards_[p.backward].micro_batch != work.micro_batch))
      return false;  // its backward must be able to follow
    const size_t stage = index(rank, work);
    return stage == 0 || forward_done_[stage - 1] > work.micro_batch;
  }
  bool backward_ready(int rank, const Work& work) const {
    const size_t stage = index(rank, work);
    return is_last(rank, work) ? forward_done_[stage] > work.micro_batch : backward_done_[stage + 1] > work.micro_batch;
  }

  PipelineShape shape_;
  std::vector<Work> forwards_, backwards_;
  std::vector<Progress> ranks_;
  std::vector<int> forward_done_, backward_done_;  // micro-batches, by stage
};

/// Writes down one rank's work with its messages and slots.
class Recorder {
 public:
  Recorder(const PipelineShape& shape, int rank) : shape_(shape), rank_(rank) {}

  void forward(const Work& work) {
    const int stage = shape_.stage(rank_, work.chunk);
    const auto free = std::find_if(taken_.begin(), taken_.end(), [](const Work& w) { return w.chunk < 0; });
    const int slot = static_cast<int>(free - taken_.begin());
    if (free == taken_.end())
      taken_.push_back(work);
    else
      *free = work;
    if (stage > 0) add(Action::recv_forward, work, slot);
    add(Action::forward, work, slot);
    if (stage < shape_.stages() - 1) add(Action::send_forward, work, slot);
  }
  void backward(const Work& work) {
    const int stage = shape_.stage(rank_, work.chunk);
    const auto taken = std::find_if(taken_.begin(), taken_.end(), [&](const Work& w) {
      return w.chunk == work.chunk && w.micro_batch == work.micro_batch;
    });
    const int slot = static_cast<int>(taken - taken_.begin());
    *taken = {-1, -1};
    if (stage < shape_.stages() - 1) add(Action::recv_backward, work, slot);
    add(Action::backward, work, slot);
    if (stage > 0) add(Action::send_backward, work, slot);
  }
  Schedule schedule() {
    schedule_.slots = static_cast<int>(taken_.size());
    return std::move(schedule_);
  }

 private:
  void add(Action action, const Work& work, int slot) {
    schedule_.instructions.push_back({action, work.micro_batch, slot, work.chunk});
  }
  PipelineShape shape_;
  int rank_;
  std::vector<Work> taken_;  // by slot; chunk -1: free
  Schedule schedule_;
};

}  // namespace

Schedule one_forward_one_backward(const PipelineShape& shape, int rank, int micro_batches) {
  CHECK(0 <= rank && rank < shape.ranks && shape.chunks >= 1 && micro_batches >= 0, "rank ", rank, " of ", shape.ranks,
        ", ", shape.chunks, " chunks, ", micro_batches, " micro-batches");
  Pipeline pipeline(shape, micro_batches);
  Recorder recorder(shape, rank);
  std::vector<Pipeline::Step> steps(static_cast<size_t>(shape.ranks));
  while (!pipeline.finished()) {
    for (int r = 0; r < shape.ranks; ++r) steps[static_cast<size_t>(r)] = pipeline.next(r);
    bool moved = false;
    for (int r = 0; r < shape.ranks; ++r) {
      const Pipeline::Step step = steps[static_cast<size_t>(r)];
      if (step == Pipeline::Step::none) continue;
      moved = true;
      const Work work = pipeline.take(r, step);
      if (r != rank) continue;
      step == Pipeline::Step::forward ? recorder.forward(work) : recorder.backward(work);
    }
    CHECK(moved, "no rank of ", shape.ranks, " with ", shape.chunks, " chunks and ", micro_batches,
          " micro-batches can go on");
  }
  return recorder.schedule();
}

}  // namespace trireme
