#include "base/ordered_work.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace trireme {
namespace {

class OrderedWork {
 public:
  OrderedWork(int num_slots, FunctionRef<bool(int)> read, FunctionRef<void(int, int)> work,
              FunctionRef<void(int)> write)
      : read_(read), work_(work), write_(write), slots_(static_cast<size_t>(num_slots)) {}

  /// What each thread that works does.
  void run(int thread) {
    for (int slot; (slot = take()) >= 0;) {
      Slot& item = slots_[static_cast<size_t>(slot)];
      if (!item.error) guard(item, [&] { work_(slot, thread); });
      const std::lock_guard lock(mutex_);
      item.ready = true;
      if (&item == &front()) changed_.notify_all();
    }
  }

  /// What the thread that writes does.
  void write_all() {
    std::unique_lock lock(mutex_);
    for (;; changed_.notify_all()) {
      changed_.wait(lock, [&] { return front().ready || closed_; });
      Slot& item = front();
      if (!item.ready) return;
      lock.unlock();
      if (!item.error) guard(item, [&] { write_(static_cast<int>(&item - slots_.data())); });
      lock.lock();
      if (item.error) {  // nothing is written behind it
        failed_ = true;
        changed_.notify_all();
        return;
      }
      item.ready = false;
      ++num_written_;
    }
  }

  /// No item comes any more.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
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

  /// Reads the next item; its slot, or -1 where there is none.
  int take() {
    std::lock_guard reading(reading_);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return failed_ || num_read_ < num_written_ + slots_.size(); });
      if (failed_ || ended_) return -1;
    }
    const size_t slot = num_read_ % slots_.size();
    Slot& item = slots_[slot];
    bool found = true;
    guard(item, [&] { found = read_(static_cast<int>(slot)); });
    ended_ = !found || item.error;  // behind an item that cannot be read nothing is
    if (!found) return -1;
    ++num_read_;
    return static_cast<int>(slot);
  }

  Slot& front() { return slots_[num_written_ % slots_.size()]; }

  FunctionRef<bool(int)> read_;
  FunctionRef<void(int, int)> work_;
  FunctionRef<void(int)> write_;
  std::vector<Slot> slots_;
  std::mutex reading_;
  bool ended_ = false;   // under reading_
  size_t num_read_ = 0;  // under reading_
  std::mutex mutex_;
  std::condition_variable changed_;  // the front, or what is under mutex_:
  size_t num_written_ = 0;
  bool failed_ = false, closed_ = false;
};

}  // namespace

void ordered_work(ThreadPool& pool, int num_slots, FunctionRef<bool(int)> read, FunctionRef<void(int, int)> work,
                  FunctionRef<void(int)> write) {
  OrderedWork items(num_slots, read, work, write);
  std::thread writer([&] { items.write_all(); });
  pool.parallel_for(pool.size(), 1, [&](int64_t begin, int64_t end, int thread) {
    if (begin < end) items.run(thread);
  });
  items.close();
  writer.join();
  items.rethrow();
}

}  // namespace trireme
