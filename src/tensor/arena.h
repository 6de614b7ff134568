// A last-in-first-out arena: take() moves a mark up, release() moves it back. Planned first on the
// meta device (unbounded, only the peak counts), then made with exactly that peak; a step that needs more
// than the plan said is a Bug.
#pragma once

#include <string>

#include "base/numeric.h"
#include "tensor/buffer.h"

namespace trireme {

class Arena {
 public:
  Arena() = default;
  /// Plans only: any size fits, tensors have shapes and no memory.
  static Arena planning(std::string name) {
    Arena a;
    a.buffer_ = Buffer(std::move(name), kMeta, 0);
    a.planning_ = true;
    return a;
  }
  Arena(std::string name, Device device, int64_t capacity) : buffer_(std::move(name), device, capacity) {}

  Tensor take(DType dtype, const Shape& shape) {
    const int64_t offset = used_;
    used_ += round_up(shape.numel() * dtype_size(dtype), kAlignment);
    if (used_ > peak_) peak_ = used_;
    if (planning_) return {nullptr, dtype, kMeta, shape};
    CHECK(used_ <= buffer_.bytes(), "arena ", buffer_.name(), " holds ", buffer_.bytes(), " bytes, the step needs ",
          used_);
    return buffer_.view(dtype, shape, offset);
  }

  int64_t mark() const { return used_; }
  void release(int64_t mark) {
    CHECK(mark <= used_, "arena ", buffer_.name(), " released upwards");
    if (poison_ && !planning_ && mark < used_)  // 0xFF bytes are NaN in every float type
      fill_memory(buffer_.device(), static_cast<char*>(buffer_.data()) + mark, 0xFF, used_ - mark);
    used_ = mark;
  }

  /// Fills released memory with NaN, so that a use after release shows. For tests and TRIREME_POISON.
  void set_poison(bool on) { poison_ = on; }

  int64_t peak() const { return peak_; }
  int64_t capacity() const { return planning_ ? peak_ : buffer_.bytes(); }
  const std::string& name() const { return buffer_.name(); }

 private:
  Buffer buffer_;
  int64_t used_ = 0, peak_ = 0;
  bool planning_ = false, poison_ = false;
};

/// Releases on scope exit what was taken from an arena since its construction.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  int64_t mark_;
};

}  // namespace trireme
