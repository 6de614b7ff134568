#include "base/ordered_work.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <vector>

namespace trireme {
namespace {

class OrderedWork {
 public:
  OrderedWork(int num_slots, FunctionRef<bool(int)> read, FunctionRef<void(int, int)> work,
              FunctionRef<void(int)> write)
      : read_(read), work_(work), write_(write), slots_(static_cast<size_t>(num_slots)) {}

  /// What each thread does.
  void run(int thread) {
    for (int slot; (slot = take()) >= 0;) {
      Slot& item = slots_[static_cast<size_t>(slot)];
      if (!item.error) guard(item, [&] { work_(slot, thread); });
      finish(item);
    }
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
      room_.wait(lock, [&] { return failed_ || num_read_ < num_written_ + slots_.size(); });
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

  /// Writes this item and those behind it that are ready, unless another thread is at it or one before is not ready.
  void finish(Slot& item) {
    std::unique_lock lock(mutex_);
    item.ready = true;
    if (writing_) return;
    writing_ = true;
    for (Slot* front; (front = &slots_[num_written_ % slots_.size()])->ready;) {
      lock.unlock();
      if (!front->error) guard(*front, [&] { write_(static_cast<int>(front - slots_.data())); });
      lock.lock();
      if (front->error) {  // writing_ stays: nothing is written behind it
        failed_ = true;
        room_.notify_all();
        std::rethrow_exception(front->error);
      }
      front->ready = false;
      ++num_written_;
      room_.notify_all();
    }
    writing_ = false;
  }

  FunctionRef<bool(int)> read_;
  FunctionRef<void(int, int)> work_;
  FunctionRef<void(int)> write_;
  std::vector<Slot> slots_;
  std::mutex reading_;
  bool ended_ = false;   // under reading_
  size_t num_read_ = 0;  // under reading_
  std::mutex mutex_;
  std::condition_variable room_;
  size_t num_written_ = 0;  // under mutex_, like the flags
  bool writing_ = false, failed_ = false;
};

}  // namespace

void ordered_work(ThreadPool& pool, int num_slots, FunctionRef<bool(int)> read, FunctionRef<void(int, int)> work,
                  FunctionRef<void(int)> write) {
  OrderedWork items(num_slots, read, work, write);
  pool.parallel_for(pool.size(), 1, [&](int64_t begin, int64_t end, int thread) {
    if (begin < end) items.run(thread);
  });
}

}  // namespace trireme
