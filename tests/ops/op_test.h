// For tests of ops: tensors with memory of their own, in any storage type and with padded rows, read and written as
// doubles; a context; comparison within a bound.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tensor/ctx.h"
#include "tensor/float8.h"

namespace trireme::testing {

using Doubles = std::vector<double>;

inline double read_element(const Tensor& t, int64_t offset) {
  switch (t.dtype) {
    case DType::f32: return t.as<float>()[offset];
    case DType::f64: return t.as<double>()[offset];
    case DType::bf16: return to_float(t.as<bf16_t>()[offset]);
    case DType::f16: return to_float(t.as<f16_t>()[offset]);
    case DType::i32: return t.as<int32_t>()[offset];
    case DType::i64: return static_cast<double>(t.as<int64_t>()[offset]);
    case DType::u8: return t.as<uint8_t>()[offset];
    case DType::u16: return t.as<uint16_t>()[offset];
    case DType::e4m3:
    case DType::e5m2: return float8_format(t.dtype).decode(t.as<uint8_t>()[offset]);
    default: throw Bug("no such test tensor");
  }
}

inline void write_element(const Tensor& t, int64_t offset, double value) {
  switch (t.dtype) {
    case DType::f32: t.as<float>()[offset] = static_cast<float>(value); break;
    case DType::f64: t.as<double>()[offset] = value; break;
    case DType::bf16: t.as<bf16_t>()[offset] = to_bf16(static_cast<float>(value)); break;
    case DType::f16: t.as<f16_t>()[offset] = to_f16(static_cast<float>(value)); break;
    case DType::i32: t.as<int32_t>()[offset] = static_cast<int32_t>(value); break;
    case DType::i64: t.as<int64_t>()[offset] = static_cast<int64_t>(value); break;
    case DType::u8: t.as<uint8_t>()[offset] = static_cast<uint8_t>(value); break;
    case DType::u16: t.as<uint16_t>()[offset] = static_cast<uint16_t>(value); break;
    case DType::e4m3:
    case DType::e5m2: t.as<uint8_t>()[offset] = float8_format(t.dtype).encode(static_cast<float>(value)); break;
    default: throw Bug("no such test tensor");
  }
}

/// f(offset) for every element, in row-major order.
template <class F>
void for_each_offset(const Tensor& t, F f) {
  const int64_t n = t.numel();
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i, offset = 0;
    for (int d = t.rank() - 1; d >= 0; --d) {
      offset += rest % t.size(d) * t.stride(d);
      rest /= t.size(d);
    }
    f(offset);
  }
}

inline Doubles read(const Tensor& t) {
  Doubles out;
  for_each_offset(t, [&](int64_t offset) { out.push_back(read_element(t, offset)); });
  return out;
}

inline void write(const Tensor& t, const Doubles& values) {
  size_t i = 0;
  for_each_offset(t, [&](int64_t offset) { write_element(t, offset, values.at(i++)); });
}

/// Uniform in [-range, range).
inline Doubles random_values(int64_t n, uint64_t seed, double range = 1) {
  Doubles out(static_cast<size_t>(n));
  const RandomKey key = RandomKey::of(seed, name_hash("test"));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = range * (2.0 * static_cast<double>(uniform_float(key.draw(0, i)[0])) - 1.0);
  return out;
}

/// A tensor that owns its memory. With `pad`, every row (of the last dimension) is followed by that many elements,
/// which an op must leave alone.
class Owned {
 public:
  Owned() = default;
  Owned(DType dtype, const Shape& shape, int64_t pad = 0) : shape_(shape), pad_(pad) {
    Shape whole = shape;
    whole[whole.rank - 1] += pad;
    memory_ = std::make_unique<Buffer>("test", kCpu, whole.numel() * dtype_size(dtype));
    std::fill_n(static_cast<unsigned char*>(memory_->data()), memory_->bytes(), kCanary);
    whole_ = memory_->view(dtype, whole);
    t = whole_.slice(shape.rank - 1, 0, shape[shape.rank - 1]);
  }
  Owned(DType dtype, const Shape& shape, const Doubles& values, int64_t pad = 0) : Owned(dtype, shape, pad) {
    write(t, values);
  }

  Doubles values() const { return read(t); }
  std::string bytes() const {
    return {static_cast<const char*>(memory_->data()), static_cast<size_t>(memory_->bytes())};
  }
  bool same_bits(const Owned& other) const { return bytes() == other.bytes(); }
  bool padding_intact() const {
    if (pad_ == 0) return true;
    const int last = shape_.rank - 1;
    const Tensor padding = whole_.slice(last, shape_[last], shape_[last] + pad_);
    bool intact = true;
    for_each_offset(padding, [&](int64_t offset) {
      const auto* at = static_cast<const unsigned char*>(padding.data) + offset * dtype_size(padding.dtype);
      for (int64_t i = 0; i < dtype_size(padding.dtype); ++i) intact &= at[i] == kCanary;
    });
    return intact;
  }

  Tensor t;

 private:
  static constexpr unsigned char kCanary = 0xA5;
  Shape shape_;
  int64_t pad_ = 0;
  std::unique_ptr<Buffer> memory_;
  Tensor whole_;
};

/// The same tensor on meta: no memory.
inline Tensor on_meta(Tensor t) {
  t.data = nullptr;
  t.device = kMeta;
  return t;
}

/// A context on the CPU with a team of its own, or on meta.
class OpContext {
 public:
  explicit OpContext(int threads = 2) : pool_(threads), temp_("temp", kCpu, 1 << 22) { fill_in(kCpu); }
  static std::unique_ptr<OpContext> planning(int threads = 2) {
    auto out = std::make_unique<OpContext>(threads);
    out->temp_ = Arena::planning("temp");
    out->fill_in(kMeta);
    return out;
  }
  Ctx& ctx() { return ctx_; }
  const Arena& temp() const { return temp_; }
  const OpCount& count() const { return count_; }

 private:
  void fill_in(Device device) {
    temp_.set_poison(true);
    ctx_.device = device;
    ctx_.pool = &pool_;
    ctx_.temp = &temp_;
    ctx_.count = &count_;
  }
  ThreadPool pool_;
  Arena temp_;
  OpCount count_;
  Ctx ctx_;
};

/// |got - want| <= relative * |want| + absolute for every element; NaN only where NaN is wanted.
inline void expect_close(const Doubles& got, const Doubles& want, double relative, double absolute, const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    if (want[i] == got[i]) continue;  // infinities too
    const double bound = relative * std::abs(want[i]) + absolute;
    ASSERT_LE(std::abs(got[i] - want[i]), bound)
        << what << ", element " << i << ": " << got[i] << ", expected " << want[i];
  }
}

/// Rounding into storage (half a unit) and `operations` roundings of f32 on the way.
inline double rounding(DType dtype, double operations) {
  return (dtype == DType::f32 ? 0 : dtype_epsilon(dtype) / 2) + operations * dtype_epsilon(DType::f32) / 2;
}

/// What `run(ctx)` leaves in `result` must be the same bytes at 1, 2 and 3 threads and when repeated.
template <class Run>
void expect_same_bits_at_any_threads(const Owned& result, Run run) {
  std::string first;
  for (const int threads : {1, 2, 3, 2}) {
    OpContext op(threads);
    run(op.ctx());
    if (first.empty()) first = result.bytes();
    ASSERT_TRUE(first == result.bytes()) << threads << " threads";
  }
}

inline std::string dtype_test_name(const ::testing::TestParamInfo<DType>& info) {
  return std::string(dtype_name(info.param));
}
inline auto storage_types() { return ::testing::Values(DType::f32, DType::bf16, DType::f16); }

/// Operands of a product that shows whether it is rounded before it is added to a 16-bit sum: all its elements are
/// 1 + e/2, and are added to e/2, e being the spacing of the type at 1. Rounded once they are 1 + e, twice 1.
struct RoundingCase {
  explicit RoundingCase(DType type) : epsilon(dtype_epsilon(type)) {}
  static size_t count(int64_t n) { return static_cast<size_t>(n); }

  /// (rows, k), or stored as (k, rows): 1 first and `last` at the end of the sum, zeros between.
  static Doubles terms(int64_t rows, int64_t k, double last, bool transposed) {
    Doubles values(count(rows * k));
    for (int64_t i = 0; i < rows; ++i) {
      values[count(transposed ? i : i * k)] = 1;
      values[count(transposed ? (k - 1) * rows + i : i * k + k - 1)] = last;
    }
    return values;
  }
  Doubles old(int64_t n) const { return Doubles(count(n), epsilon / 2); }
  Doubles sum(int64_t n) const { return Doubles(count(n), 1 + epsilon); }

  double epsilon;
  double left = 0x1p-4, right = epsilon / 2 / left;  // of the last term
};

}  // namespace trireme::testing
