// Rotary positions and the embedding on the GPU against the CPU.
#include <array>

#include "ops/cuda_op_test.h"
#include "ops/embedding.h"
#include "ops/rope.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CudaLookup : public CudaTypes {};
INSTANTIATE_TEST_SUITE_P(Storage, CudaLookup, storage_types(), dtype_test_name);

/// `n` integers below `limit`.
Doubles random_indices(int64_t n, int64_t limit, uint64_t seed) {
  Doubles values;
  for (const double v : random_values(n, seed)) values.push_back(std::floor((v + 1) / 2 * static_cast<double>(limit)));
  return values;
}

Doubles angles(int64_t positions, int64_t d) {
  Doubles values;
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t i = 0; i < d; ++i) {
      const double angle =
          static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(i % (d / 2)) / static_cast<double>(d));
      values.push_back(i < d / 2 ? std::cos(angle) : std::sin(angle));
    }
  return values;
}

TEST_P(CudaLookup, RopeTurnsAsTheCpuDoes) {
  constexpr int64_t kPositions = 50;
  for (const int64_t d : {2, 6, 8, 16, 64, 128, 1100}) {
    for (const int64_t heads : {1, 3, 4, 9}) {
      for (const int64_t pad : {0, 3, 8}) {
        const int64_t n = 9;
        // A slice of fused q, k, v, as attention layers use it, and padded heads.
        const Shape fused{n, 3 * heads, d};
        Twin& x = same_type_twin(dtype(), fused, random_values(fused.numel(), 1), pad);
        Twin& positions = twin(DType::i32, {n}, random_indices(n, kPositions, 9));
        Twin& table = twin(DType::f32, {kPositions, d}, angles(kPositions, d));
        run_both([&](const Side& on) {
          rope(on.ctx, on(x).slice(1, heads, 2 * heads), on(positions), on(table));
          rope(on.ctx, on(x).slice(1, 2 * heads, 3 * heads), on(positions), on(table), true);
        });
        EXPECT_TRUE(x.same_bits()) << d << " channels, " << heads << " heads, pad " << pad;
        forget();
      }
    }
  }
}

TEST_P(CudaLookup, RopeSumsRowsAsItTurnsThem) {
  constexpr int64_t kPositions = 50;
  std::vector<std::array<int64_t, 3>> shapes = {{2000, 14, 128}};
  for (const int64_t d : {6, 16, 64, 128})
    for (const int64_t heads : {1, 3, 14, 71})
      for (const int64_t n : {1, 9, 150}) shapes.push_back({n, heads, d});
  for (const auto& [n, heads, d] : shapes) {
    SCOPED_TRACE(cat(n, " tokens, ", heads, " heads of ", d));
    const Shape fused{n, heads + 2, d};  // behind q and k lies v
    Twin& x = same_type_twin(dtype(), fused, random_values(fused.numel(), 1));
    Twin& alone = same_type_twin(dtype(), fused, random_values(fused.numel(), 1));
    Twin& positions = twin(DType::i32, {n}, random_indices(n, kPositions, 9));
    Twin& table = twin(DType::f32, {kPositions, d}, angles(kPositions, d));
    Twin& sums = twin(DType::f32, {heads * d}, random_values(heads * d, 2));
    run_both([&, heads = heads](const Side& on) {
      rope(on.ctx, on(x).slice(1, 0, heads), on(positions), on(table), true, on(sums));
      rope(on.ctx, on(alone).slice(1, 0, heads), on(positions), on(table), true);
    });
    EXPECT_TRUE(x.same_bits());
    EXPECT_EQ(x.got(), alone.got());
    // The GPU adds what a row is before it is rounded, which is half a unit of numbers below 2 off at most: n times
    // that in all, or six deviations of n that are even within it, each 1 / sqrt(3) of it.
    const double rows = static_cast<double>(n), unit = dtype() == DType::f32 ? 0 : dtype_epsilon(dtype());
    expect_twins_close(sums, 0, unit / 2 * std::min(rows, 6 * std::sqrt(rows / 3)) + 1e-6 * rows, "sums");
    forget();
  }
}

TEST_F(CudaTest, APositionOutsideTheRopeTableMakesNansAndNothingElse) {
  Twin& x = twin(DType::f32, {3, 2, 8}, Doubles(48, 1.0));
  Twin& positions = twin(DType::i32, {3}, Doubles{-1, 1, 5});
  Twin& table = twin(DType::f32, {5, 8}, angles(5, 8));
  rope(gpu(), x.gpu(), positions.gpu(), table.gpu());
  x.download();
  const Doubles got = x.got();
  for (size_t i = 0; i < 48; ++i) EXPECT_EQ(std::isnan(got[i]), i < 16 || i >= 32) << i;
}

TEST_P(CudaLookup, EmbeddingLooksUpRowsOfAnyType) {
  for (const DType table_type : {DType::f32, DType::bf16, DType::f16}) {
    for (const Shape& shape : {Shape{80, 700}, Shape{1, 8}, Shape{37, 768}, Shape{5, 13}}) {
      for (const int64_t pad : {0, 3, 8}) {
        const int64_t n = shape[0], c = shape[1], vocab = 50;
        Twin& ids = twin(DType::i32, {n}, random_indices(n, vocab, 1));
        Twin& table = same_type_twin(table_type, {vocab, c}, random_values(vocab * c, 2), pad);
        Twin& y = same_type_twin(dtype(), shape, random_values(n * c, 3), pad);
        Twin& sum = same_type_twin(dtype(), shape, random_values(n * c, 4), pad);
        run_both([&](const Side& on) {
          // All but the first and last five rows of the table.
          embedding_forward(on.ctx, on(y), on(ids), on(table).slice(0, 5, 45), 5);
          embedding_forward(on.ctx, on(sum), on(ids), on(table).slice(0, 5, 45), 5, true);
        });
        EXPECT_TRUE(y.same_bits() && sum.same_bits()) << dtype_name(table_type) << shape.str() << pad;
        forget();
      }
    }
  }
}

TEST_P(CudaLookup, EmbeddingGradientMatchesTheCpu) {
  struct Case {
    int64_t tokens, channels, vocab, row_begin, rows;
  };
  // A row each; a few rows for all, so that runs cross blocks and are long; a slice; a whole Llama vocabulary.
  for (const Case& k :
       {Case{1, 8, 50, 0, 50}, Case{80, 700, 50, 0, 50}, Case{3000, 264, 3, 0, 3}, Case{1000, 37, 40, 7, 20},
        Case{500, 24, 128256, 100000, 28256}, Case{2048, 72, 1, 0, 1}, Case{4096, 16, 64, 0, 64}}) {
    for (const int64_t pad : {0, 3, 8}) {
      SCOPED_TRACE(cat(k.tokens, " tokens of ", k.vocab, ", pad ", pad));
      Twin& ids = twin(DType::i32, {k.tokens}, random_indices(k.tokens, k.vocab, 1));
      Twin& dy = twin(dtype(), {k.tokens, k.channels}, random_values(k.tokens * k.channels, 2), pad);
      Twin& dtable = twin(DType::f32, {k.rows, k.channels}, random_values(k.rows * k.channels, 3), pad);
      run_both([&](const Side& on) { embedding_backward(on.ctx, on(dtable), on(ids), on(dy), k.row_begin); });
      const double most = static_cast<double>(k.tokens) / static_cast<double>(std::min<int64_t>(k.vocab, 50)) * 3 + 8;
      expect_twins_close(dtable, 0, 2 * sum_bound(static_cast<int64_t>(most), most, 0, DType::f32), "dtable");
      forget();
    }
  }
}

TEST_P(CudaLookup, IdsOutsideTheSliceGiveZeroAndNoGradient) {
  Twin& ids = twin(DType::i32, {3}, Doubles{-100, 9, 10});
  Twin& table = twin(dtype(), {5, 4}, Doubles(20, 1.0));
  Twin &y = blank(dtype(), {3, 4}), &dtable = twin(DType::f32, {5, 4}, Doubles(20));
  run_both([&](const Side& on) {
    embedding_forward(on.ctx, on(y), on(ids), on(table), 5);
    embedding_backward(on.ctx, on(dtable), on(ids), on(y), 5);
  });
  EXPECT_EQ(y.got(), (Doubles{0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(dtable.got(), dtable.want());
}

}  // namespace
}  // namespace trireme
