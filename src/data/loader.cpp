#include "data/loader.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/numeric.h"
#include "base/thread.h"

namespace trireme {

Loader::Loader(std::unique_ptr<SampleOrder> order, const LoaderOptions& options)
    : order_(std::move(order)), options_(options) {
  const int64_t at_once = options.micro_batch_size * options.dp_size;
  if (options.global_batch_size % at_once != 0)
    throw ConfigError(cat("data.global_batch_size is ", options.global_batch_size, ", expected a multiple of ", at_once,
                          ": data.micro_batch_size ", options.micro_batch_size, " on ", options.dp_size,
                          " data-parallel ranks"));
  num_micro_batches_ = options.global_batch_size / at_once;
  const auto length = static_cast<int32_t>(options.sequence_length);
  for (int32_t b = 0; b < static_cast<int32_t>(options.micro_batch_size); ++b)
    segments_.push_back({b * length, length, b * length, length, 0, 0});
  window_.resize(static_cast<size_t>(options.sequence_length) + 1);
  for (int64_t s = 0; s <= options.steps_ahead; ++s) ring_.push_back(make_slot());
  thread_ = start_thread([this] { run(); });
}

Loader::~Loader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  room_.notify_all();
  thread_.join();
}

Loader::Slot Loader::make_slot() const {
  const int64_t rows = options_.micro_batch_size, length = options_.sequence_length, n = rows * length;
  const int64_t bytes = n * (4 + 4 + 4 + 4 + 8);
  Slot slot{Buffer("batches", kCpu, num_micro_batches_ * round_up(bytes, kAlignment)), {}};
  for (int64_t m = 0; m < num_micro_batches_; ++m) {
    int64_t offset = m * round_up(bytes, kAlignment);
    const auto take = [&](DType dtype) {
      return slot.memory.view(dtype, {n}, std::exchange(offset, offset + n * dtype_size(dtype)));
    };
    Batch batch;
    batch.sample_ids = take(DType::i64);
    batch.tokens = take(DType::i32);
    batch.targets = take(DType::i32);
    batch.weights = take(DType::f32);
    batch.positions = take(DType::i32);
    batch.segments = segments_;
    for (int64_t i = 0; i < n; ++i) batch.positions.i32()[i] = static_cast<int32_t>(i % length);
    slot.batches.push_back(batch);
  }
  return slot;
}

void Loader::read_step(Slot& slot, int64_t step) {
  const int64_t begin = options_.first_sample + step * options_.global_batch_size, length = options_.sequence_length;
  int64_t total = 0;
  for (int64_t i = 0; i < options_.global_batch_size; ++i) total += order_->num_targets(begin + i);
  for (int64_t m = 0; m < num_micro_batches_; ++m) {
    Batch& batch = slot.batches[static_cast<size_t>(m)];
    batch.total_weight = static_cast<double>(total);
    const int64_t first = begin + (m * options_.dp_size + options_.dp_rank) * options_.micro_batch_size;
    for (int64_t b = 0; b < options_.micro_batch_size; ++b) {
      const int64_t id = first + b, row = b * length, targets = order_->num_targets(id);
      order_->sample(window_, id);
      std::copy_n(window_.begin(), length, batch.tokens.i32() + row);
      std::copy_n(window_.begin() + 1, length, batch.targets.i32() + row);
      std::fill_n(batch.sample_ids.as<int64_t>() + row, length, id);
      std::fill_n(batch.weights.f32() + row, targets, 1.0F);
      std::fill_n(batch.weights.f32() + row + targets, length - targets, 0.0F);
    }
  }
}

void Loader::run() {
  for (int64_t step = 0; step < options_.num_steps; ++step) {
    {
      std::unique_lock lock(mutex_);
      // The slot of step taken_ - 1 is the caller's, so of steps_ahead + 1 slots one is never written.
      room_.wait(lock, [&] { return stop_ || step < taken_ + options_.steps_ahead; });
      if (stop_) return;
    }
    std::exception_ptr error;
    try {
      read_step(ring_[static_cast<size_t>(step) % ring_.size()], step);
    } catch (...) {
      error = std::current_exception();
    }
    {
      std::lock_guard lock(mutex_);
      if (error)
        error_ = error;
      else
        made_ = step + 1;
    }
    made_more_.notify_one();
    if (error) return;
  }
}

std::span<const Batch> Loader::next() {
  const double begin = now_seconds();
  std::unique_lock lock(mutex_);
  CHECK(taken_ < options_.num_steps, "step ", taken_, " of ", options_.num_steps);
  made_more_.wait(lock, [&] { return made_ > taken_ || error_ != nullptr; });
  if (made_ <= taken_) std::rethrow_exception(error_);
  const int64_t step = taken_++;
  lock.unlock();
  room_.notify_one();
  wait_seconds_ = now_seconds() - begin;
  return ring_[static_cast<size_t>(step) % ring_.size()].batches;
}

int64_t evaluation_steps(const SampleOrder& order, int64_t micro_batch_size, int64_t dp_size) {
  return ceil_div(order.samples_per_epoch(), micro_batch_size * dp_size);
}

}  // namespace trireme
