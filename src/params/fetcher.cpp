#include "params/fetcher.h"

#include "base/thread.h"

namespace trireme {

Fetcher::Fetcher(Group& ranks) : ranks_(ranks), thread_(start_thread([this] { run(); })) {}

Fetcher::~Fetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  more_.notify_all();
  thread_.join();
}

void Fetcher::start(const Tensor& whole, const Tensor& part) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(count_ < kMost, "more than ", kMost, " units are fetched at a time");
    jobs_[(next_ + count_) % kMost] = {whole, part};
    ++count_;
  }
  more_.notify_all();
}

void Fetcher::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return count_ == 0 || error_; });
  if (error_) std::rethrow_exception(error_);
}

void Fetcher::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [&] { return stop_ || count_ > 0; });
    if (stop_) return;
    const Job job = jobs_[next_];
    lock.unlock();
    std::exception_ptr error;
    try {
      ranks_.all_gather(job.whole, job.part);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    next_ = (next_ + 1) % kMost;
    --count_;
    error_ = error;
    done_.notify_all();
    if (error_) return;
  }
}

}  // namespace trireme
