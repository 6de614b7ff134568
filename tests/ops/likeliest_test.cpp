#include "ops/likeliest.h"

#include <cmath>
#include <limits>

#include "ops/cuda_op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

constexpr float kInf = std::numeric_limits<float>::infinity();

/// By the definition, in double.
Doubles expected(const Doubles& logits, int64_t n, int64_t v) {
  Doubles ids;
  for (int64_t r = 0; r < n; ++r) {
    int64_t id = 0;
    bool finite = true;
    for (int64_t c = 0; c < v; ++c) {
      const double x = logits[static_cast<size_t>(r * v + c)];
      finite = finite && std::isfinite(x);
      if (x > logits[static_cast<size_t>(r * v + id)]) id = c;
    }
    ids.push_back(finite ? static_cast<double>(id) : -1);
  }
  return ids;
}

struct Case {
  int64_t n, v;
};
const std::vector<Case> kCases = {{1, 1}, {3, 7}, {2, 64}, {5, 1000}, {4, 2049}, {1, 50257}, {8, 128256}, {2, 151936}};

/// Rows with equal values, both zeros, all below zero, and with one that is no number at some place.
Doubles values_of(const Case& k) {
  Doubles values = random_values(k.n * k.v, 3, 9);
  const auto at = [&](int64_t r, int64_t c) -> double& { return values[static_cast<size_t>(r * k.v + c % k.v)]; };
  for (int64_t r = 0; r < k.n; ++r) {
    switch (r % 6) {
      case 0: at(r, 5) = at(r, 31) = at(r, 33) = at(r, 40961) = 12.5; break;
      case 1:
        for (int64_t c = 0; c < k.v; ++c) at(r, c) = c % 3 == 2 ? 0.0 : -0.0;
        break;
      case 2: at(r, k.v - 1) = 11; break;
      case 3: at(r, 77777) = NAN; break;
      case 4: at(r, k.v / 2) = k.n % 2 == 0 ? kInf : -kInf; break;
      default:
        for (int64_t c = 0; c < k.v; ++c) at(r, c) = -std::abs(at(r, c)) - 1;
    }
  }
  return values;
}

TEST(Likeliest, IsTheFirstOfTheLargestAndNoneWhereOneIsNoNumber) {
  for (const Case& k : kCases) {
    OpContext op;
    const Owned logits(DType::f32, {k.n, k.v}, values_of(k), 3);
    const Owned ids(DType::i32, {k.n}, Doubles(static_cast<size_t>(k.n)));
    likeliest(op.ctx(), ids.t, logits.t);
    EXPECT_EQ(ids.values(), expected(logits.values(), k.n, k.v)) << k.n << " x " << k.v;
  }
}

class CudaLikeliest : public CudaTest {};

TEST_F(CudaLikeliest, IsTheCpus) {
  for (const Case& k : kCases)
    for (const int64_t pad : {0, 1, 8}) {
      SCOPED_TRACE(cat(k.n, " x ", k.v, " pad ", pad));
      Twin& logits = twin(DType::f32, {k.n, k.v}, values_of(k), pad);
      Twin& ids = twin(DType::i32, {k.n}, Doubles(static_cast<size_t>(k.n)));
      run_both([&](const Side& on) { likeliest(on.ctx, on(ids), on(logits)); });
      EXPECT_EQ(ids.got(), expected(logits.want(), k.n, k.v));
      EXPECT_EQ(ids.want(), ids.got());
      forget();
    }
}

}  // namespace
}  // namespace trireme
