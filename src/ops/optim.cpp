// Checks and cost of the optimizer's arithmetic.
#include "ops/optim.h"

#include "ops/cost.h"
#include "ops/cpu/optim.h"
#include "ops/cuda/optim.h"
#include "ops/dispatch.h"

namespace trireme {
namespace {

constexpr const char* kOp = "adamw_update";

void check_value(const AdamWSlice& s, int64_t n) {
  if (s.param.defined()) check_rows(kOp, "param", s.param);
  if (s.param.defined()) check_vector(kOp, "param", s.param, n, s.param.dtype);
  if (!s.master.defined() || s.master.dtype == DType::u16) {
    CHECK(s.param.defined(), kOp, ": nothing to update");
    check_dtype(kOp, "param without an f32 master", s.param, DType::bf16);
  }
  if (s.master.defined())
    check_vector(kOp, "master", s.master, n, s.master.dtype == DType::u16 ? DType::u16 : DType::f32);
}

void check_moments(const AdamWSlice& s, int64_t n) {
  const DType type = s.m.dtype;
  CHECK(type == DType::f32 || type == DType::bf16 || type == DType::u8, kOp, ": m is ", s.m.str());
  check_vector(kOp, "m", s.m, n, type);
  check_vector(kOp, "v", s.v, n, type);
  if (type != DType::u8) return;
  check_vector(kOp, "m_scales", s.m_scales, code_blocks(n), DType::f32);
  check_vector(kOp, "v_scales", s.v_scales, code_blocks(n), DType::f32);
}

bool kept_alike(const AdamWSlice& a, const AdamWSlice& b) {
  const auto type = [](const Tensor& t) { return t.defined() ? t.dtype : DType::i64; };
  return type(a.master) == type(b.master) && type(a.param) == type(b.param) && a.m.dtype == b.m.dtype;
}

}  // namespace

void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args) {
  if (args.factor.defined()) check_vector(kOp, "factor", args.factor, 1, DType::f32);
  OpCost cost;
  for (const AdamWSlice& s : slices) {
    const int64_t n = s.grad.numel();
    const bool half_grad = s.grad.dtype == DType::bf16 && s.param.defined() && s.param.dtype == DType::bf16;
    check_vector(kOp, "grad", s.grad, n, half_grad ? DType::bf16 : DType::f32);
    check_value(s, n);
    check_moments(s, n);
    CHECK(kept_alike(s, slices[0]), kOp, ": slices are kept in several ways");
    const bool param_is_read = !s.master.defined() || s.master.dtype == DType::u16;
    cost.flops += 15.0 * static_cast<double>(n);
    cost.bytes += 2 * bytes_of(s.master, s.m, s.v, s.m_scales, s.v_scales) + bytes_of(s.grad) +
                  (param_is_read ? 2 : 1) * bytes_of(s.param);
  }
  if (!begin_op(ctx, kOp, cost)) return;
  on_device(ctx, cpu::adamw_update, cuda::adamw_update, slices, args);
  for (const AdamWSlice& s : slices)
    end_op(ctx, kOp, s.master.defined() && s.master.dtype == DType::f32 ? s.master : s.param);
}

void clip_factor(Ctx& ctx, Tensor factor, const Tensor& squares, const Tensor& loss, const ClipArgs& args) {
  const char* op = "clip_factor";
  check_vector(op, "factor", factor, 1, DType::f32);
  check_vector(op, "squares", squares, 1, DType::f64);
  check_vector(op, "loss", loss, 1, DType::f64);
  if (!begin_op(ctx, op, {.flops = 5, .bytes = bytes_of(factor, squares, loss)})) return;
  on_device(ctx, cpu::clip_factor, cuda::clip_factor, factor, squares, loss, args);
}

}  // namespace trireme
