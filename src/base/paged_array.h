// Large arrays whose memory comes from the operating system page by page and goes back to it: growing one moves its
// pages and copies nothing, and what was never written takes no memory. So the peak is the sum of what is held, which
// vectors and the C library's heap do not promise.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace trireme {

/// Zeroed memory, in whole pages. std::bad_alloc where there is none.
class PagedMemory {
 public:
  PagedMemory() = default;
  ~PagedMemory();
  PagedMemory(PagedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PagedMemory& operator=(PagedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// To at least `bytes`; what is there stays, at another address.
  void grow(size_t bytes);

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

template <class T>
class PagedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PagedArray() = default;
  /// All zero.
  explicit PagedArray(size_t size) { resize(size); }
  PagedArray(PagedArray&& other) noexcept : memory_(std::move(other.memory_)), size_(std::exchange(other.size_, 0)) {}
  PagedArray& operator=(PagedArray&& other) noexcept {
    memory_ = PagedMemory(std::move(other.memory_));  // what was held here is gone at once
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  size_t size() const { return size_; }
  T* data() { return static_cast<T*>(memory_.data()); }
  const T* data() const { return static_cast<const T*>(memory_.data()); }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  T& back() { return data()[size_ - 1]; }

  /// Elements that were never there are zero.
  void resize(size_t size) {
    if (size > memory_.bytes() / sizeof(T)) memory_.grow(std::max(size * sizeof(T), memory_.bytes() / 2 * 3));
    size_ = size;
  }
  void push_back(const T& value) {
    resize(size_ + 1);
    back() = value;
  }

 private:
  PagedMemory memory_;
  size_t size_ = 0;
};

}  // namespace trireme
