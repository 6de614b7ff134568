#include "ops/basic.h"

#include "ops/op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class Basic : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Storage, Basic, storage_types(), dtype_test_name);

TEST_P(Basic, ElementwiseOpsMatchTheDoubleReference) {
  for (const Shape& shape : {Shape{1237}, Shape{7, 600}, Shape{3, 4, 25}}) {
    for (const int64_t pad : {0, 5}) {
      const int64_t n = shape.numel();
      const Owned a(GetParam(), shape, random_values(n, 1), pad), b(DType::f32, shape, random_values(n, 2), pad);
      Owned y(GetParam(), shape, pad);
      const Doubles va = a.values(), vb = b.values();
      OpContext op;
      fill(op.ctx(), y.t, 0.3F);
      expect_close(y.values(), Doubles(static_cast<size_t>(n), static_cast<double>(0.3F)), rounding(GetParam(), 0), 0,
                   "fill");
      copy(op.ctx(), y.t, b.t);
      expect_close(y.values(), vb, rounding(GetParam(), 0), 1e-7, "copy");
      add(op.ctx(), y.t, a.t, b.t);
      Doubles want;
      for (size_t i = 0; i < va.size(); ++i) want.push_back(va[i] + vb[i]);
      expect_close(y.values(), want, rounding(GetParam(), 1), 1e-7, "add");
      for (double& v : want) v *= 0.25;
      scale(op.ctx(), y.t, 0.25F);
      expect_close(y.values(), want, rounding(GetParam(), 1), 1e-7, "scale");
      EXPECT_TRUE(y.padding_intact());
    }
  }
}

TEST(Copy, RoundsAsTheScalarConversionsDo) {
  Doubles values;
  for (int exponent = -30; exponent <= 20; ++exponent)
    for (const double v : random_values(200, static_cast<uint64_t>(exponent + 100)))
      values.push_back(v * std::pow(2.0, exponent));
  for (const double v : {0.0, -0.0, 1.00390625, 1.01171875, 1.00048828125, 1.00146484375, 65504.0, 65520.0, 1e38,
                         3.4e38, HUGE_VAL, -HUGE_VAL})
    values.push_back(v);
  const auto n = static_cast<int64_t>(values.size());
  const Owned x(DType::f32, {n}, values);
  OpContext op;
  for (const DType to : {DType::bf16, DType::f16}) {
    Owned y(to, {n}), back(DType::f32, {n});
    copy(op.ctx(), y.t, x.t);
    EXPECT_TRUE(y.same_bits(Owned(to, {n}, x.values())));
    copy(op.ctx(), back.t, y.t);
    EXPECT_EQ(back.values(), y.values());
    // A NaN whose payload lies in the bits that are cut off.
    const Owned nan(DType::f32, {1}, Doubles{static_cast<double>(std::bit_cast<float>(0x7F800001U))});
    copy(op.ctx(), y.t.slice(0, 0, 1), nan.t);
    EXPECT_TRUE(std::isnan(y.values()[0]));
  }
}

TEST_P(Basic, AddInPlaceEqualsOutOfPlace) {
  const Doubles v = random_values(1300, 1), w = random_values(1300, 2);
  Owned a(GetParam(), {2, 650}, v), b(GetParam(), {2, 650}, w), y(GetParam(), {2, 650});
  OpContext op;
  add(op.ctx(), y.t, a.t, b.t);
  add(op.ctx(), a.t, a.t, b.t);
  EXPECT_TRUE(a.same_bits(y));
  write(a.t, v);
  add(op.ctx(), b.t, a.t, b.t);
  EXPECT_TRUE(b.same_bits(y));
}

double sum_of_squares(OpContext& op, const Owned& x) {
  double sum = NAN;
  sum_squares(op.ctx(), Tensor(&sum, DType::f64, kCpu, {1}), {&x.t, 1});
  return sum;
}

TEST_P(Basic, SumSquaresIsADoubleSum) {
  for (const int64_t n : {1, 15, 4097, 70001}) {
    const Owned x(GetParam(), {n}, random_values(n, 1));
    OpContext op;
    long double exact = 0;  // a plain sum in double would itself be off by some 1e-13
    for (const double v : x.values()) exact += static_cast<long double>(v) * v;
    const auto want = static_cast<double>(exact);
    EXPECT_NEAR(sum_of_squares(op, x), want, 1e-14 * want);
  }
}

TEST(SumSquares, DoesNotDependOnTheNumberOfThreadsAndCarriesNan) {
  const int64_t n = 2000003;  // more blocks than parts
  Owned x(DType::f32, {n}, random_values(n, 1));
  OpContext one(1);
  const double want = sum_of_squares(one, x);
  for (const int threads : {2, 3}) {
    OpContext op(threads);
    EXPECT_EQ(sum_of_squares(op, x), want);
  }
  x.t.f32()[n - 1] = NAN;
  EXPECT_TRUE(std::isnan(sum_of_squares(one, x)));
  x.t.f32()[n - 1] = 1e30F;  // its square is beyond f32
  EXPECT_NEAR(sum_of_squares(one, x), 1e60, 1e54);
}

TEST_P(Basic, FindNonfiniteGivesTheFirst) {
  const int64_t n = 70001;
  Owned x(GetParam(), {n}, random_values(n, 1, 60000));
  for (const int threads : {1, 3}) {
    OpContext op(threads);
    EXPECT_EQ(find_nonfinite(op.ctx(), x.t), -1);
    for (const int64_t at : {n - 1, int64_t{40000}, int64_t{777}, int64_t{0}}) {
      write_element(x.t, at, at % 2 == 0 ? NAN : -HUGE_VAL);
      EXPECT_EQ(find_nonfinite(op.ctx(), x.t), at);
    }
    write(x.t, random_values(n, 1, 60000));
  }
}

// ---- dropout

struct DropoutCase {
  DropoutCase(int64_t n, int64_t c) : samples(DType::i64, {n}), positions(DType::i32, {n}) {
    for (int64_t i = 0; i < n; ++i) {
      samples.t.as<int64_t>()[i] = 5'000'000'000 + i / 3;
      positions.t.i32()[i] = static_cast<int32_t>(i % 3);
    }
    batch.sample_ids = samples.t;
    batch.positions = positions.t;
    shape = {n, c};
  }
  Owned samples, positions;
  Batch batch;
  Shape shape;
};

void set_training(Ctx& ctx) {
  ctx.seed = 17;
  ctx.step = 3;
  ctx.train = true;
}

TEST_P(Basic, DropoutFollowsItsDocumentedMask) {
  const DropoutCase k(6, 1030);
  const Owned x(GetParam(), k.shape, random_values(k.shape.numel(), 1), 3);
  Owned y(GetParam(), k.shape, 2);
  const float p = 0.3F;
  const uint64_t site = name_hash("test");
  OpContext op;
  set_training(op.ctx());
  for (const int64_t channel_begin : {int64_t{0}, int64_t{7}, (int64_t{1} << 34) - 500}) {
    dropout(op.ctx(), y.t, x.t, p, site, k.batch, channel_begin);
    const RandomKey key = RandomKey::of(17, site, 3);
    Doubles want = x.values();
    for (int64_t i = 0; i < k.shape.numel(); ++i) {
      const int64_t row = i / k.shape[1], channel = channel_begin + i % k.shape[1];
      const uint64_t hi =
          mix64(static_cast<uint64_t>(k.samples.t.as<int64_t>()[row]), static_cast<uint64_t>(k.positions.t.i32()[row]));
      const uint32_t word = key.draw(hi, static_cast<uint64_t>(channel / 4))[static_cast<size_t>(channel % 4)];
      const bool keep = static_cast<double>(word >> 8) >= std::round(static_cast<double>(p) * 0x1p24);
      want[static_cast<size_t>(i)] *= keep ? static_cast<double>(1.0F / (1.0F - p)) : 0;
    }
    expect_close(y.values(), want, rounding(GetParam(), 1), 1e-7, "y");
    EXPECT_TRUE(y.padding_intact());
  }
}

TEST(Dropout, KeepsTheRightShareAndTheMean) {
  const DropoutCase k(300, 400);
  const Owned x(DType::f32, k.shape, Doubles(static_cast<size_t>(k.shape.numel()), 1.0));
  Owned y(DType::f32, k.shape);
  OpContext op;
  set_training(op.ctx());
  for (const float p : {0.1F, 0.5F, 0.9F}) {
    dropout(op.ctx(), y.t, x.t, p, 1, k.batch);
    double kept = 0, total = 0;
    for (const double v : y.values()) kept += v != 0, total += v;
    const double n = 120000, deviation = std::sqrt(n * static_cast<double>(p) * (1 - static_cast<double>(p)));
    EXPECT_NEAR(kept, n * (1 - static_cast<double>(p)), 4 * deviation);
    EXPECT_NEAR(total / n, 1, 4 * deviation / n / (1 - static_cast<double>(p)));
  }
}

TEST(Dropout, AnySliceOfTheChannelsDrawsTheMaskOfTheWhole) {
  const DropoutCase k(5, 1201);
  const Owned x(DType::f32, k.shape, random_values(k.shape.numel(), 1));
  Owned whole(DType::f32, k.shape), sliced(DType::f32, k.shape);
  OpContext op;
  set_training(op.ctx());
  dropout(op.ctx(), whole.t, x.t, 0.4F, 1, k.batch);
  for (const auto& [begin, end] : {std::pair{0, 3}, {3, 602}, {602, 1201}})
    dropout(op.ctx(), sliced.t.slice(1, begin, end), x.t.slice(1, begin, end), 0.4F, 1, k.batch, begin);
  EXPECT_TRUE(whole.same_bits(sliced));
}

TEST(Dropout, SeedSiteAndStepChangeTheMaskAndAnOrderOfRowsDoesNot) {
  const DropoutCase k(6, 64);
  const Owned x(DType::f32, k.shape, Doubles(6 * 64, 1.0));
  const auto mask = [&](uint64_t seed, uint64_t site, int64_t step) {
    Owned y(DType::f32, k.shape);
    OpContext op;
    set_training(op.ctx());
    op.ctx().seed = seed;
    op.ctx().step = step;
    dropout(op.ctx(), y.t, x.t, 0.5F, site, k.batch);
    return y.values();
  };
  const Doubles first = mask(1, 1, 1);
  EXPECT_EQ(first, mask(1, 1, 1));
  EXPECT_NE(first, mask(2, 1, 1));
  EXPECT_NE(first, mask(1, 2, 1));
  EXPECT_NE(first, mask(1, 1, 2));
  Batch last = k.batch;
  last.sample_ids = k.batch.sample_ids.slice(0, 4, 5);
  last.positions = k.batch.positions.slice(0, 4, 5);
  Owned y(DType::f32, {1, 64});
  OpContext op;
  set_training(op.ctx());
  op.ctx().seed = op.ctx().step = 1;
  dropout(op.ctx(), y.t, x.t.slice(0, 4, 5), 0.5F, 1, last);
  EXPECT_EQ(y.values(), Doubles(first.begin() + 4 * 64, first.begin() + 5 * 64));
}

TEST_P(Basic, DropoutCopiesWhereItIsOffAndWorksInPlace) {
  const DropoutCase k(4, 100);
  const Doubles values = random_values(400, 1);
  Owned x(GetParam(), k.shape, values), y(GetParam(), k.shape);
  OpContext op;
  set_training(op.ctx());
  dropout(op.ctx(), y.t, x.t, 0, 1, k.batch);
  EXPECT_TRUE(y.same_bits(x));
  op.ctx().train = false;
  write(y.t, Doubles(400));
  dropout(op.ctx(), y.t, x.t, 0.5F, 1, k.batch);
  EXPECT_TRUE(y.same_bits(x));
  op.ctx().train = true;
  dropout(op.ctx(), y.t, x.t, 0.5F, 1, k.batch);
  dropout(op.ctx(), x.t, x.t, 0.5F, 1, k.batch);
  EXPECT_TRUE(y.same_bits(x));
}

TEST_P(Basic, SameBitsAtAnyNumberOfThreads) {
  const DropoutCase k(70, 701);
  const Owned x(GetParam(), k.shape, random_values(k.shape.numel(), 1));
  Owned y(GetParam(), k.shape);
  expect_same_bits_at_any_threads(y, [&](Ctx& ctx) {
    set_training(ctx);
    dropout(ctx, y.t, x.t, 0.2F, 1, k.batch);
  });
  expect_same_bits_at_any_threads(y, [&](Ctx& ctx) { add(ctx, y.t, x.t, x.t); });
}

TEST(BasicPlanning, OnMetaCountsAndTouchesNothing) {
  const Tensor t(nullptr, DType::f32, kMeta, {4, 6});
  Batch batch;
  batch.sample_ids = Tensor(nullptr, DType::i64, kMeta, {4});
  batch.positions = Tensor(nullptr, DType::i32, kMeta, {4});
  const auto meta = OpContext::planning();
  set_training(meta->ctx());
  fill(meta->ctx(), t, 1);
  copy(meta->ctx(), t, t);
  add(meta->ctx(), t, t, t);
  scale(meta->ctx(), t, 2);
  dropout(meta->ctx(), t, t, 0.5F, 1, batch);
  sum_squares(meta->ctx(), Tensor(nullptr, DType::f64, kMeta, {1}), {&t, 1});
  EXPECT_EQ(find_nonfinite(meta->ctx(), t), -1);
  EXPECT_EQ(meta->count().calls, 7);
  EXPECT_EQ(meta->count().bytes, (1 + 2 + 3 + 2 + 2 + 1 + 1) * 96);
}

}  // namespace
}  // namespace trireme
