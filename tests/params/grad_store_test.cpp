// What a step finds and leaves in the gradients: products begin them, what others add to was zero; rows that tensor
// ranks share are summed once and count once in the norm, under every ZeRO stage.
#include "params/grad_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

#include "comm/local.h"

namespace trireme {
namespace {

constexpr int64_t kRows = 24, kCols = 5;

/// Of element (row, col): what each tensor rank that holds it adds, in each of the data ranks.
float part(int64_t row, int64_t col, int tp_rank) {
  return static_cast<float>((row + 1) * (tp_rank + 1)) + 0.25F * static_cast<float>(col);
}

struct Found {
  std::vector<double> sums = std::vector<double>(kRows * kCols), norms;
};

/// One backward pass of every rank, after which each has its gradients.
Found run(const Mesh& mesh, int zero_stage) {
  Found found;
  std::mutex mutex;
  run_local_ranks(mesh, [&](int, const Groups& groups) {
    const int tp = groups.tp->rank();
    ThreadPool pool(1);
    ParamTable table;
    const Split split{.dim = 0, .chunks = {12, 6, 6}, .pieces = 3, .parts = {2, 1, 1}};
    Param& p = ParamBuilder(table, tp, mesh.tp).add({.name = "w", .shape = {kRows, kCols}, .split = split});
    const ModelLayout layout(table, 1, {{0, 1}}, *groups.dp_cp, zero_stage);
    GradStore grads(table, layout, kCpu, groups);
    Ctx ctx;
    ctx.pool = &pool;
    grads.zero(ctx);
    grads.acquire(ctx, 0, true);
    int64_t local = 0;
    for (const Box& box : p.local_boxes)
      for (int64_t row = box.row; row < box.row + box.rows; ++row)
        for (int64_t col = 0; col < kCols; ++col) p.grad.f32()[local++] += part(row, col, tp);
    grads.publish(ctx, 0);
    grads.finish(ctx);
    double norm = 0;
    grads.global_sum_squares(ctx, {&norm, DType::f64, kCpu, {1}});
    const FlatRange range = layout.optimizer_range(0);
    const float* values = grads.optimizer_view(0, 0, range.size()).f32();
    const std::lock_guard lock(mutex);
    found.norms.push_back(norm);
    for_each_piece(layout.units[0], range, [&](Param&, int64_t begin, int64_t flat, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        int64_t row = (begin + i) / kCols, box = 0;
        for (; row >= p.local_boxes[static_cast<size_t>(box)].rows; ++box)
          row -= p.local_boxes[static_cast<size_t>(box)].rows;
        row += p.local_boxes[static_cast<size_t>(box)].row;
        double& sum = found.sums[static_cast<size_t>(row * kCols + (begin + i) % kCols)];
        const double value = values[flat - range.begin + i];
        EXPECT_TRUE(sum == 0 || sum == value) << "row " << row << " differs between ranks";
        sum = value;
      }
    });
  });
  return found;
}

TEST(SharedRows, AreSummedOnceAndCountOnceInTheNorm) {
  for (const Mesh& mesh : {Mesh{.tp = 4}, Mesh{.tp = 5}, Mesh{.tp = 6}, Mesh{.dp = 2, .tp = 4}})
    for (const int zero_stage : {0, 1, 2, 3}) {
      SCOPED_TRACE(cat(mesh.tp, " tensor ranks, ", mesh.dp, " data ranks, ZeRO ", zero_stage));
      std::vector<double> expected(kRows * kCols);
      for (int tp = 0; tp < mesh.tp; ++tp)
        for (const Box& box : local_boxes(
                 {kRows, kCols}, {.dim = 0, .chunks = {12, 6, 6}, .pieces = 3, .parts = {2, 1, 1}}, tp, mesh.tp))
          for (int64_t row = box.row; row < box.row + box.rows; ++row)
            for (int64_t col = 0; col < kCols; ++col)
              expected[static_cast<size_t>(row * kCols + col)] += mesh.dp * part(row, col, tp);
      double norm = 0;
      for (const double v : expected) norm += v * v;
      const Found found = run(mesh, zero_stage);
      EXPECT_EQ(found.sums, expected);  // small multiples of 1/4: no rounding
      for (const double n : found.norms) EXPECT_NEAR(n, norm, 1e-9 * norm);
    }
}

/// A unit of a product and something that is added to.
class Products : public ::testing::Test {
 protected:
  static constexpr int64_t kSize = 300;

  /// Values of both gradients after the second of two steps of `micro_batches` that each bring 1 to both; of the
  /// product, in the second step, nothing without `has_rows`.
  std::vector<float> step(int zero_stage, int micro_batches, bool has_rows = true) {
    SingleGroup single;
    const Groups groups = Groups::alone(single);
    const ModelLayout layout(table_, 1, {{0, 1}}, single, zero_stage);
    GradStore grads(table_, layout, kCpu, groups);
    for (int round = 0; round < 2; ++round) {
      grads.zero(ctx_);
      for (int i = 0; i < micro_batches; ++i) {
        grads.acquire(ctx_, 0, i == 0);
        for (int64_t j = 0; j < kSize; ++j) bias_.grad.f32()[j] += 1;
        if (has_rows || round == 0) {
          const bool adds = product_.adds_to_grad();
          EXPECT_EQ(adds, i > 0 && zero_stage < 2);
          for (int64_t j = 0; j < kSize; ++j) product_.grad.f32()[j] = 1 + (adds ? product_.grad.f32()[j] : 0);
          EXPECT_TRUE(product_.adds_to_grad());
        }
        grads.publish(ctx_, 0);
      }
      grads.finish(ctx_);
    }
    std::vector<float> values;
    for_each_piece(layout.units[0], layout.optimizer_range(0), [&](Param&, int64_t, int64_t flat, int64_t n) {
      const float* from = grads.optimizer_view(0, flat, n).f32();
      values.insert(values.end(), from, from + n);
    });
    return values;
  }

  ThreadPool pool_{1};
  Ctx ctx_ = [this] {
    Ctx ctx;
    ctx.pool = &pool_;
    return ctx;
  }();
  ParamTable table_;
  Param& bias_ = ParamBuilder(table_).add({.name = "bias", .shape = {kSize}});
  Param& product_ = ParamBuilder(table_).add({.name = "w", .shape = {kSize, 1}, .grad_is_product = true});
};

TEST_F(Products, BeginTheGradientsOfEveryStep) {
  for (const int zero_stage : {0, 1, 2, 3})
    for (const int micro_batches : {1, 3}) {
      SCOPED_TRACE(cat("ZeRO ", zero_stage, ", ", micro_batches, " micro-batches"));
      EXPECT_EQ(step(zero_stage, micro_batches), std::vector<float>(2 * kSize, static_cast<float>(micro_batches)));
    }
}

TEST_F(Products, AloneAreHeldIn16BitsBesideOthersInF32) {
  SingleGroup single;
  const Groups groups = Groups::alone(single);
  const ModelLayout layout(table_, 1, {{0, 1}}, single, 0);
  const int64_t padded = layout.units[0].products;
  const int64_t planned = GradStore(table_, layout, kMeta, groups, DType::bf16).bytes();
  EXPECT_EQ(planned, 2 * padded + 4 * (layout.units[0].numel - padded));
  GradStore grads(table_, layout, kCpu, groups, DType::bf16);
  EXPECT_EQ(grads.bytes(), planned);
  grads.zero(ctx_);
  grads.acquire(ctx_, 0, true);
  EXPECT_EQ(product_.grad.dtype, DType::bf16);
  EXPECT_EQ(bias_.grad.dtype, DType::f32);
  for (int64_t j = 0; j < kSize; ++j) product_.grad.as<bf16_t>()[j] = to_bf16(3), bias_.grad.f32()[j] = 4;
  product_.adds_to_grad();
  grads.publish(ctx_, 0);
  grads.finish(ctx_);
  double squares = 0;
  grads.global_sum_squares(ctx_, {&squares, DType::f64, kCpu, {1}});
  EXPECT_EQ(squares, kSize * (9 + 16));
  EXPECT_EQ(grads.find_nonfinite(ctx_), nullptr);
  product_.grad.as<bf16_t>()[kSize - 1] = to_bf16(INFINITY);
  EXPECT_EQ(grads.find_nonfinite(ctx_), &product_);
}

TEST_F(Products, In16BitsAreRefusedWhereRanksSumThem) {
  run_local_ranks({.dp = 2}, [&](int, const Groups& groups) {
    ParamTable table;
    ParamBuilder(table).add({.name = "w", .shape = {kSize, 1}, .grad_is_product = true});
    const ModelLayout layout(table, 1, {{0, 1}}, *groups.dp_cp, 0);
    EXPECT_THROW(GradStore(table, layout, kCpu, groups, DType::bf16), Bug);
  });
}

TEST_F(Products, ThatNeverCameAreZero) {
  for (const int zero_stage : {0, 2}) {
    std::vector<float> expected(kSize, 0.0F);  // products lie first
    expected.resize(2 * kSize, 2.0F);
    EXPECT_EQ(step(zero_stage, 2, false), expected) << "ZeRO " << zero_stage;
  }
}

}  // namespace
}  // namespace trireme
