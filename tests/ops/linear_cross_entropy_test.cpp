#include "ops/linear_cross_entropy.h"

#include "ops/linear_cross_entropy_reference.h"
#include "ops/loss.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

using namespace trireme::testing;

/// (n, c) times (v, c), in one type of storage; dweight begins with `before`.
struct Problem {
  Problem(DType dtype, int64_t n, int64_t v, int64_t c, double before = 0)
      : x(dtype, {n, c}, random_values(n * c, 1), 3),
        weight(dtype, {v, c}, random_values(v * c, 2), 5),
        targets(DType::i32, {n}),
        weights(DType::f32, {n}, random_values(n, 3)),
        loss(DType::f32, {n}),
        dx(dtype, {n, c}, 1),
        dweight(DType::f32, {v, c}, Doubles(static_cast<size_t>(v * c), before)) {
    for (int64_t r = 0; r < n; ++r) targets.t.i32()[r] = static_cast<int32_t>(r * 131 % v);
    weights.t.f32()[n / 2] = 0;
  }
  LinearCrossEntropy args(bool accumulate = false) const {
    return {.loss = loss.t,
            .dx = dx.t,
            .dweight = dweight.t,
            .accumulate = accumulate,
            .x = x.t,
            .weight = weight.t,
            .targets = targets.t,
            .weights = weights.t,
            .scale = 0.5F};
  }
  Owned x, weight, targets, weights, loss, dx, dweight;
};

TEST(LinearCrossEntropy, MatchesTheDoubleReference) {
  const int64_t n = 21, v = 301, c = 40;
  for (const bool accumulate : {false, true}) {
    const Problem p(DType::f32, n, v, c, 3);
    OpContext op;
    linear_cross_entropy(op.ctx(), p.args(accumulate));
    const LossReference want(p.x.values(), p.weight.values(), p.targets.values(), p.weights.values(), 0.5);
    Doubles dweight = want.dweight;
    for (double& value : dweight) value += accumulate ? 3 : 0;
    expect_close(p.loss.values(), want.loss, 0x1p-20, 0x1p-20, "loss");
    expect_close(p.dx.values(), want.dx, 0x1p-18, 0x1p-20, "dx");
    expect_close(p.dweight.values(), dweight, 0x1p-18, 0x1p-20, "dweight");
    EXPECT_TRUE(p.dx.padding_intact());
  }
}

TEST(LinearCrossEntropy, OnTheCpuItIsTheOpsOneAfterTheOther) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const int64_t n = 21, v = 301, c = 40;
    const Problem p(dtype, n, v, c), q(dtype, n, v, c);
    const Owned logits(dtype, {n, v}, 19);
    OpContext op;
    linear_cross_entropy(op.ctx(), p.args());
    matmul(op.ctx(), logits.t, q.x.t, q.weight.t, {.transpose_b = true});
    cross_entropy(op.ctx(), q.loss.t, logits.t, q.targets.t, q.weights.t, 0.5F);
    matmul(op.ctx(), q.dweight.t, logits.t, q.x.t, {.transpose_a = true});
    matmul(op.ctx(), q.dx.t, logits.t, q.weight.t);
    for (const auto& [got, want] : {std::pair{&p.loss, &q.loss}, {&p.dx, &q.dx}, {&p.dweight, &q.dweight}})
      EXPECT_TRUE(got->same_bits(*want));
  }
}

TEST(LinearCrossEntropy, AWeightThatIsNotTrainedGetsNoGradient) {
  const Problem p(DType::f32, 9, 30, 16), q(DType::f32, 9, 30, 16, 7);
  OpContext op;
  linear_cross_entropy(op.ctx(), p.args());
  LinearCrossEntropy frozen = q.args();
  frozen.dweight = {};
  linear_cross_entropy(op.ctx(), frozen);
  EXPECT_TRUE(p.dx.same_bits(q.dx));
  EXPECT_EQ(q.dweight.values(), Doubles(30 * 16, 7.0));
}

TEST(LinearCrossEntropy, APlanForAGpuHasRoomWithAndWithoutAKernelForAll) {
  const int64_t n = 300, v = 1001, c = 64;
  const Problem p(DType::bf16, n, v, c);
  const auto plan = [&](int64_t row_stride) {
    const auto meta = OpContext::planning();
    meta->ctx().backend = DeviceKind::cuda;
    LinearCrossEntropy a = p.args();
    for (Tensor* t : {&a.loss, &a.dx, &a.dweight, &a.x, &a.weight, &a.targets, &a.weights}) *t = on_meta(*t);
    for (Tensor* t : {&a.dx, &a.x, &a.weight}) t->strides[0] = row_stride;
    linear_cross_entropy(meta->ctx(), a);
    EXPECT_EQ(meta->count().matmul_flops, 6.0 * n * v * c);
    return std::pair{meta->temp().peak(), meta->count().calls};
  };
  const auto [fused, fused_calls] = plan(c);
  const auto [apart, apart_calls] = plan(c + 1);  // rows that copy engines cannot fetch
  EXPECT_EQ(apart_calls, 4);
  EXPECT_NE(fused_calls, apart_calls);
  EXPECT_GT(fused, apart);
  EXPECT_LT(fused, apart + apart / 50);
}

TEST(LinearCrossEntropy, WrongShapesAreBugs) {
  const Problem p(DType::f32, 9, 30, 16), other(DType::f32, 8, 31, 16);
  OpContext op;
  for (Tensor LinearCrossEntropy::*part : {&LinearCrossEntropy::loss, &LinearCrossEntropy::dx,
                                           &LinearCrossEntropy::dweight, &LinearCrossEntropy::targets}) {
    LinearCrossEntropy a = p.args();
    a.*part = other.args().*part;
    EXPECT_THROW(linear_cross_entropy(op.ctx(), a), Bug);
  }
}

}  // namespace
}  // namespace trireme
