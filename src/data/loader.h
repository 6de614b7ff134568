// Batches, made ahead by a thread of their own. A step takes the next G samples of the order; micro-batch m of
// data-parallel rank r holds B of them from (m * dp + r) * B on, so that all ranks together take the same samples
// whatever dp is. All memory is allocated at the start; the only state is how many samples were consumed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "data/sampler.h"
#include "tensor/batch.h"
#include "tensor/buffer.h"

namespace trireme {

struct LoaderOptions {
  int64_t sequence_length = 0;    // T
  int64_t micro_batch_size = 0;   // B
  int64_t global_batch_size = 0;  // G: a multiple of B * dp_size
  int64_t dp_rank = 0, dp_size = 1;
  int64_t first_sample = 0;  // samples consumed before: where to go on
  int64_t num_steps = 0;     // that are made and then no more
  int64_t steps_ahead = 2;   // made while one is in use
};

class Loader {
 public:
  /// Starts reading. ConfigError where G is not a multiple of B * dp_size.
  Loader(std::unique_ptr<SampleOrder> order, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The micro-batches of the next step, N = B * T tokens each, one segment a sample; valid until the next call. Waits
  /// for them; allocates nothing. An error of the reading thread is rethrown here. At most num_steps calls.
  std::span<const Batch> next();

  /// Samples given out in all, with those of first_sample: what a checkpoint keeps.
  int64_t consumed_samples() const { return options_.first_sample + taken_ * options_.global_batch_size; }
  /// Seconds that the last next() waited.
  double wait_seconds() const { return wait_seconds_; }

 private:
  struct Slot {
    Buffer memory;
    std::vector<Batch> batches;
  };

  Slot make_slot() const;
  void read_step(Slot& slot, int64_t step);
  void run();

  std::unique_ptr<SampleOrder> order_;
  LoaderOptions options_;
  int64_t num_micro_batches_;
  std::vector<Segment> segments_;
  std::vector<int32_t> window_;  // T + 1 ids
  std::vector<Slot> ring_;

  std::mutex mutex_;
  std::condition_variable made_more_, room_;
  int64_t made_ = 0, taken_ = 0;  // steps; the slot of step taken_ - 1 is in use
  bool stop_ = false;
  std::exception_ptr error_;
  double wait_seconds_ = 0;
  std::thread thread_;
};

/// Steps that one pass of an evaluation over `order` takes: micro-batches of B on each of dp_size ranks. The last may
/// be padded with samples that have no targets.
int64_t evaluation_steps(const SampleOrder& order, int64_t micro_batch_size, int64_t dp_size);

}  // namespace trireme
