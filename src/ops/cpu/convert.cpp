#include "ops/cpu/convert.h"

#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/convert.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {

void load_block(float* to, int64_t ld, const Block& from, float factor) {
  const auto* base = static_cast<const char*>(from.data);
  for (int64_t r = 0; r < from.rows; ++r, to += ld, base += from.ld * dtype_size(from.dtype)) {
    const float* row = to;
    if (from.dtype == DType::bf16)
      widen(reinterpret_cast<const bf16_t*>(base), to, from.cols);
    else if (from.dtype == DType::f16)
      widen(reinterpret_cast<const f16_t*>(base), to, from.cols);
    else
      row = reinterpret_cast<const float*>(base);
    if (row == to && factor == 1) continue;
    vector_loop(from.cols, [=](auto d, int64_t i)
                               HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, row + i), hn::Set(d, factor)), d, to + i); });
  }
}

void store_block(const Block& to, const float* from, int64_t ld) {
  auto* base = static_cast<char*>(to.data);
  for (int64_t r = 0; r < to.rows; ++r, from += ld, base += to.ld * dtype_size(to.dtype)) {
    if (to.dtype == DType::bf16)
      narrow(from, reinterpret_cast<bf16_t*>(base), to.cols);
    else if (to.dtype == DType::f16)
      narrow(from, reinterpret_cast<f16_t*>(base), to.cols);
    else
      std::copy_n(from, to.cols, reinterpret_cast<float*>(base));
  }
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(load_block);
HWY_EXPORT(store_block);

void load_block(float* to, int64_t ld, const Block& from, float factor) {
  HWY_DYNAMIC_DISPATCH(load_block)(to, ld, from, factor);
}
void store_block(const Block& to, const float* from, int64_t ld) { HWY_DYNAMIC_DISPATCH(store_block)(to, from, ld); }

}  // namespace trireme::cpu
#endif
