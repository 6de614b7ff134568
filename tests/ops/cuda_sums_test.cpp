// Sums over rows and tensors, the scan for NaN and AdamW on the GPU against the CPU.
#include "ops/basic.h"
#include "ops/cuda_op_test.h"
#include "ops/matmul.h"
#include "ops/optim.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CudaSums : public CudaTypes {};
INSTANTIATE_TEST_SUITE_P(Storage, CudaSums, storage_types(), dtype_test_name);

TEST_P(CudaSums, RowsAddUpToTheCpusSum) {
  for (const Shape& shape :
       {Shape{1, 1}, Shape{1, 8}, Shape{9, 37}, Shape{64, 768}, Shape{65, 2304}, Shape{5000, 40}, Shape{3001, 300}}) {
    for (const int64_t pad : {0, 3, 8}) {
      const int64_t rows = shape[0], cols = shape[1];
      Twin& x = twin(dtype(), shape, random_values(rows * cols, 1), pad);
      Twin& out = twin(DType::f32, {cols}, random_values(cols, 2));
      run_both([&](const Side& on) { sum_rows(on.ctx, on(out), on(x)); });
      const auto magnitude = static_cast<double>(rows + 1);
      expect_twins_close(out, 0, 2 * sum_bound(rows, magnitude, 0, DType::f32), "out");
      forget();
    }
  }
}

TEST_P(CudaSums, SumSquaresIsADoubleSumOverAllTensors) {
  for (const int64_t n : {1, 15, 4097, 70001, 5000011}) {
    Twin& x = twin(dtype(), {n + 1}, random_values(n + 1, 1));
    Twin& sum = same_type_twin(DType::f64, {1}, {NAN});
    run_both([&](const Side& on) {
      const Tensor parts[] = {on(x).slice(0, 1, n + 1), on(x).slice(0, 0, 1)};  // the first at an odd address
      sum_squares(on.ctx, on(sum), parts);
    });
    EXPECT_NEAR(sum.got()[0], sum.want()[0], 2e-14 * sum.want()[0]);
    forget();
  }
}

TEST_P(CudaSums, SumSquaresCarriesNanAndDoesNotOverflow) {
  Twin& x = twin(dtype(), {1000}, random_values(1000, 1));
  Twin& large = twin(dtype(), {100}, Doubles(100, dtype() == DType::f16 ? 6e4 : 1e30));
  Doubles values = random_values(1000, 1);
  values[999] = NAN;
  Twin& bad = twin(dtype(), {1000}, values);
  const double value = large.want()[0];
  const Tensor parts[] = {x.gpu(), large.gpu()}, with_nan[] = {bad.gpu(), x.gpu()};
  Twin& sum = same_type_twin(DType::f64, {1}, {0.0});
  sum_squares(gpu(), sum.gpu(), parts);
  EXPECT_NEAR(sum.gpu().item(), 100 * value * value, 1e-3 * value * value);
  sum_squares(gpu(), sum.gpu(), with_nan);
  EXPECT_TRUE(std::isnan(sum.gpu().item()));
}

TEST_P(CudaSums, FindNonfiniteGivesTheFirst) {
  const int64_t n = 70001;
  Twin& fine = twin(dtype(), {n}, random_values(n, 1, 60000));
  EXPECT_EQ(find_nonfinite(gpu(), fine.gpu()), -1);
  for (const int64_t at : {n - 1, int64_t{40000}, int64_t{777}, int64_t{0}}) {
    Doubles values = random_values(n, 1, 60000);
    values[static_cast<size_t>(at)] = at % 2 == 0 ? NAN : -HUGE_VAL;
    values[static_cast<size_t>(n - 1)] = NAN;
    Twin& x = twin(dtype(), {n}, values);
    EXPECT_EQ(find_nonfinite(gpu(), x.gpu()), at);
    const int64_t begin = std::min<int64_t>(at, 1);
    EXPECT_EQ(find_nonfinite(gpu(), x.gpu().slice(0, begin, n)), at - begin);
  }
}

/// `factor`: NaN leaves everything as it is.
AdamWArgs arguments(int step, const Tensor& factor) {
  AdamWArgs a;
  a.lr = 3e-3F / static_cast<float>(step);
  a.beta1 = 0.9F;
  a.beta2 = 0.95F;
  if (step % 2 == 0) a.factor = factor;
  a.bias_correction1 = static_cast<float>(1 - std::pow(0.9, step));
  a.bias_correction2 = static_cast<float>(1 - std::pow(0.95, step));
  return a;
}

TEST_P(CudaSums, AdamWTakesTheCpusStepsBitForBit) {
  for (const int64_t n : {1, 8, 1237, 5120}) {
    for (const int64_t begin : {0, 1, 4}) {  // pieces of a flat run begin anywhere
      const int64_t size = n + begin;
      Twin& master = same_type_twin(DType::f32, {size}, random_values(size, 1));
      Twin& m = same_type_twin(DType::f32, {size}, Doubles(static_cast<size_t>(size)));
      Twin& v = same_type_twin(DType::f32, {size}, Doubles(static_cast<size_t>(size)));
      Twin& param = same_type_twin(dtype(), {size}, Doubles(static_cast<size_t>(size)));
      Twin& grad = same_type_twin(DType::f32, {size}, random_values(size, 2));
      Twin& alone = same_type_twin(DType::f32, {size}, random_values(size, 1));
      Twin& m2 = same_type_twin(DType::f32, {size}, Doubles(static_cast<size_t>(size)));
      Twin& v2 = same_type_twin(DType::f32, {size}, Doubles(static_cast<size_t>(size)));
      Twin& factor = same_type_twin(DType::f32, {1}, {0.37});
      run_both([&](const Side& on) {
        const auto piece = [&](const Twin& t) { return on(t).slice(0, begin, size); };
        for (int step = 1; step <= 4; ++step) {
          adamw_update(on.ctx, {piece(master), piece(m), piece(v), piece(param), piece(grad), 0.1F},
                       arguments(step, on(factor)));
          adamw_update(on.ctx, {piece(alone), piece(m2), piece(v2), Tensor(), piece(grad), 0.1F},
                       arguments(step, on(factor)));
        }
      });
      EXPECT_TRUE(master.same_bits() && m.same_bits() && v.same_bits() && param.same_bits()) << n << " from " << begin;
      EXPECT_TRUE(alone.same_bits());
      EXPECT_EQ(alone.got(), master.got());
      forget();
    }
  }
}

/// Every way to keep values and moments in fewer bits, at any address and cut by columns or not.
TEST_P(CudaSums, AdamWInFewerBitsTakesTheCpusStepsBitForBit) {
  if (dtype() != DType::bf16) GTEST_SKIP() << "values in fewer bits are bf16";
  struct Way {
    bool has_master;
    DType master, moments;
  };
  std::vector<Way> ways;
  for (const DType moments : {DType::f32, DType::bf16, DType::u8})
    for (const DType master : {DType::f32, DType::u16}) ways.push_back({true, master, moments});
  for (const DType moments : {DType::f32, DType::bf16, DType::u8}) ways.push_back({false, DType::f32, moments});
  for (const auto& [has_master, master_type, moments] : ways) {
    for (const auto& [n, begin, grads] : {std::tuple{1, 0, DType::f32},
                                          {1237, 0, DType::f32},
                                          {1237, 1, DType::bf16},
                                          {5120, 4, DType::f32},
                                          {5120, 4, DType::bf16},
                                          {70001, 3, DType::f32},
                                          {70144, 0, DType::f32}}) {
      SCOPED_TRACE(cat(has_master ? dtype_name(master_type) : "no", " master, ", dtype_name(moments), " moments, ", n,
                       " from ", begin));
      const int64_t size = n + begin, blocks = code_blocks(n);
      const Doubles zeros(static_cast<size_t>(size)), start = random_values(size, 1);
      Twin& param = same_type_twin(DType::bf16, {size}, start);
      Twin& master = same_type_twin(master_type, {size}, master_type == DType::f32 ? param.got() : zeros);
      Twin& m = same_type_twin(moments, {size}, zeros);
      Twin& v = same_type_twin(moments, {size}, zeros);
      Twin& m_scales = same_type_twin(DType::f32, {blocks}, Doubles(static_cast<size_t>(blocks)));
      Twin& v_scales = same_type_twin(DType::f32, {blocks}, Doubles(static_cast<size_t>(blocks)));
      Twin& grad = same_type_twin(grads, {size}, random_values(size, 2));
      Twin& factor = same_type_twin(DType::f32, {1}, {0.37});
      run_both([&, begin = begin, has_master = has_master, moments = moments](const Side& on) {
        const auto piece = [&](const Twin& t) { return on(t).slice(0, begin, size); };
        for (int step = 1; step <= 4; ++step) {
          AdamWSlice s{Tensor(), piece(m), piece(v), piece(param), piece(grad), 0.1F};
          if (has_master) s.master = piece(master);
          if (moments == DType::u8) s.m_scales = on(m_scales), s.v_scales = on(v_scales);
          s.key = RandomKey::of(3, 4, static_cast<uint64_t>(step));
          s.positions = {.first = step == 1 ? 11 : 12};
          if (step % 2 == 0) s.positions = {.first = 11, .column = 2, .width = 37, .stride = 101};
          adamw_update(on.ctx, s, arguments(step, on(factor)));
        }
      });
      EXPECT_TRUE(param.same_bits() && master.same_bits() && m.same_bits() && v.same_bits());
      EXPECT_TRUE(m_scales.same_bits() && v_scales.same_bits());
      forget();
    }
  }
}

TEST_F(CudaTest, AdamWOfNumbersFarFromOneIsTheCpusToTheBit) {
  constexpr int64_t kSize = 1024;
  const double some[] = {0, -0.0, 1e-30, -3e-23, 1e-20, 2e-12, -1e-6, 0.3, -7e4, 1e9, 2e10, -1e19, 1e25, -3e38};
  Doubles gradients, values = random_values(kSize, 1);
  for (size_t i = 0; i < kSize; ++i) gradients.push_back(some[i * 7 / 5 % std::size(some)]);
  values[3] = NAN, values[300] = HUGE_VAL, gradients[77] = NAN, gradients[500] = -HUGE_VAL;
  values[40] = 1e-42, gradients[40] = 0;
  for (const DType moments : {DType::f32, DType::bf16, DType::u8})
    for (const float eps : {0.0F, 1e-8F, 3.0F}) {
      const int64_t blocks = code_blocks(kSize);
      Twin& param = same_type_twin(DType::bf16, {kSize}, values);
      Twin& m = same_type_twin(moments, {kSize}, Doubles(kSize));
      Twin& v = same_type_twin(moments, {kSize}, Doubles(kSize));
      Twin& m_scales = same_type_twin(DType::f32, {blocks}, Doubles(static_cast<size_t>(blocks)));
      Twin& v_scales = same_type_twin(DType::f32, {blocks}, Doubles(static_cast<size_t>(blocks)));
      Twin& grad = same_type_twin(DType::f32, {kSize}, gradients);
      run_both([&](const Side& on) {
        for (int step = 1; step <= 3; ++step) {
          AdamWSlice s{Tensor(), on(m), on(v), on(param), on(grad), 0.1F};
          if (moments == DType::u8) s.m_scales = on(m_scales), s.v_scales = on(v_scales);
          s.key = RandomKey::of(3, 4, static_cast<uint64_t>(step));
          AdamWArgs a = arguments(step, Tensor());
          a.eps = eps;
          a.factor = Tensor();
          adamw_update(on.ctx, s, a);
        }
      });
      for (const Twin* t : {&param, &m, &v}) {
        if (moments == DType::u8 && t != &param) continue;  // a NaN has no code
        const Doubles got = t->got(), want = t->want();
        for (size_t i = 0; i < kSize; ++i)
          EXPECT_TRUE(std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i])
              << i << ": " << got[i] << " against " << want[i] << ", eps " << eps << ", " << dtype_name(moments);
      }
      forget();
    }
}

TEST_P(CudaSums, AdamWTakesManySlicesInOneCall) {
  Twin& factor = same_type_twin(DType::f32, {1}, {0.37});
  Twin& none = same_type_twin(DType::f32, {1}, {NAN});  // the step that is not to be made
  std::vector<const Twin*> twins;
  for (int64_t i = 0; i < 130; ++i) {  // more than one launch takes
    const int64_t n = i % 7 == 0 ? 0 : 1 + 97 * i;
    for (uint64_t k = 0; k < 5; ++k) {
      const DType type = k == 3 ? dtype() : DType::f32;
      const Doubles zeros(static_cast<size_t>(n));
      twins.push_back(&same_type_twin(type, {n}, k == 2 || k == 3 ? zeros : random_values(n, k)));
    }
  }
  run_both([&](const Side& on) {
    std::vector<AdamWSlice> slices;
    for (size_t i = 0; i < twins.size(); i += 5)
      slices.push_back({on(*twins[i]), on(*twins[i + 1]), on(*twins[i + 2]), on(*twins[i + 3]), on(*twins[i + 4]),
                        i % 2 == 0 ? 0.1F : 0.0F});
    adamw_update(on.ctx, slices, arguments(2, on(factor)));
    adamw_update(on.ctx, slices, arguments(2, on(none)));
  });
  for (size_t i = 0; i < twins.size(); ++i) EXPECT_TRUE(twins[i]->same_bits()) << i / 5 << ", tensor " << i % 5;
}

TEST_F(CudaTest, TheClipFactorIsTheCpusToTheBit) {
  for (const double squares : {0.0, 0.3, 7e9, HUGE_VAL, -HUGE_VAL, static_cast<double>(NAN)})
    for (const double loss : {3.5, HUGE_VAL, static_cast<double>(NAN)})
      for (const double max_norm : {0.0, 1.0}) {
        Twin& sum = same_type_twin(DType::f64, {1}, {squares});
        Twin& losses = same_type_twin(DType::f64, {1}, {loss});
        Twin& factor = same_type_twin(DType::f32, {1}, {7.0});
        run_both([&](const Side& on) {
          clip_factor(on.ctx, on(factor), on(sum), on(losses), {.max_norm = max_norm, .loss_scale = 1024});
        });
        if (std::isnan(factor.want()[0]))
          EXPECT_TRUE(std::isnan(factor.got()[0]));
        else
          EXPECT_TRUE(factor.same_bits());
        forget();
      }
}

}  // namespace
}  // namespace trireme
