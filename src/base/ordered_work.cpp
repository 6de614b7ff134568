#include "base/ordered_work.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/thread.h"

namespace trireme {
namespace {

class OrderedWork {
 public:
  OrderedWork(int num_slots, FunctionRef<bool(int)> read, FunctionRef<void(int, int)> work,
              FunctionRef<void(int)> write)
      : read_(read), work_(work), write_(write), slots_(static_cast<size_t>(num_slots)) {}

  /// What the thread that reads does.
  void read_all() {
    std::unique_lock lock(mutex_);
    for (bool more = true; more;) {
      changed_.wait(lock, [&] { return failed_ || num_read_ < num_written_ + slots_.size(); });
      if (failed_) break;
      Slot& item = slots_[num_read_ % slots_.size()];
      lock.unlock();
      guard(item, [&] { more = read_(slot_of(item)); });
      const bool found = more;
      more = more && !item.error;  // behind an item that cannot be read nothing is
      lock.lock();
      num_read_ += found ? 1 : 0;
      changed_.notify_all();
    }
    ended_ = true;
    changed_.notify_all();
  }

  /// What each thread that works does.
  void work_all(int thread) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return failed_ || ended_ || num_taken_ < num_read_; });
      if (failed_ || num_taken_ == num_read_) return;
      Slot& item = slots_[num_taken_++ % slots_.size()];
      lock.unlock();
      if (!item.error) guard(item, [&] { work_(slot_of(item), thread); });
      lock.lock();
      item.ready = true;
      if (&item == &front()) changed_.notify_all();
    }
  }

  /// What the thread that writes does.
  void write_all() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return front().ready || (ended_ && num_written_ == num_read_); });
      Slot& item = front();
      if (!item.ready) return;
      lock.unlock();
      if (!item.error) guard(item, [&] { write_(slot_of(item)); });
      lock.lock();
      failed_ = item.error != nullptr;
      if (!failed_) {
        item.ready = false;
        ++num_written_;
      }
      changed_.notify_all();
      if (failed_) return;  // nothing is written behind it
    }
  }

  /// Ends the reading where nothing will be written.
  void stop() {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    changed_.notify_all();
  }

  /// The exception of the item at which it ended, when all threads have done.
  void rethrow() {
    if (failed_) std::rethrow_exception(front().error);
  }

 private:
  struct Slot {
    bool ready = false;
    std::exception_ptr error;
  };

  template <class Fn>
  static void guard(Slot& item, Fn fn) {
    try {
      fn();
    } catch (...) {
      item.error = std::current_exception();
    }
  }

  int slot_of(const Slot& item) const { return static_cast<int>(&item - slots_.data()); }
  Slot& front() { return slots_[num_written_ % slots_.size()]; }

  FunctionRef<bool(int)> read_;
  FunctionRef<void(int, int)> work_;
  FunctionRef<void(int)> write_;
  std::vector<Slot> slots_;
  std::mutex mutex_;  // of all below, and of Slot::ready
  std::condition_variable changed_;
  size_t num_read_ = 0, num_taken_ = 0, num_written_ = 0;
  bool ended_ = false, failed_ = false;
};

}  // namespace

void ordered_work(ThreadPool& pool, int num_slots, FunctionRef<bool(int)> read, FunctionRef<void(int, int)> work,
                  FunctionRef<void(int)> write) {
  OrderedWork items(num_slots, read, work, write);
  std::thread reader = start_thread([&] { items.read_all(); }), writer;
  try {
    writer = start_thread([&] { items.write_all(); });
  } catch (...) {  // no thread to be had
    items.stop();
    reader.join();
    throw;
  }
  pool.parallel_for(pool.size(), 1, [&](int64_t begin, int64_t end, int thread) {
    if (begin < end) items.work_all(thread);
  });
  reader.join();
  writer.join();
  items.rethrow();
}

}  // namespace trireme
