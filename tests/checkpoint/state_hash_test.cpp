#include "checkpoint/state_hash.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/tensor_io.h"

namespace trireme {
namespace {

std::vector<float> random_floats(size_t n) {
  std::mt19937 random(1);
  std::vector<float> v(n);
  for (float& x : v) x = std::normal_distribution<float>()(random);
  return v;
}

Tensor view(std::vector<float>& v, const Shape& shape) { return {v.data(), DType::f32, kCpu, shape}; }

TEST(StateHash, BoxesAddUpToTheWhole) {
  std::vector<float> v = random_floats(37 * 23);
  const Tensor whole = view(v, {37, 23});
  const Hash128 expected = hash_tensor("w", whole, nullptr);
  std::mt19937 random(2);
  for (int trial = 0; trial < 50; ++trial) {
    const int64_t r = random() % 38, c = random() % 24;
    Hash128 sum;
    for (const Box& b : {Box{r, 37 - r, c, 23 - c}, Box{0, r, 0, c}, Box{r, 37 - r, 0, c}, Box{0, r, c, 23 - c}})
      sum.add(
          hash_box("w", {37, 23}, b, whole.slice(0, b.row, b.row + b.rows).slice(1, b.col, b.col + b.cols), nullptr));
    ASSERT_EQ(sum, expected) << "cut at " << r << ", " << c;
  }
}

TEST(StateHash, DoesNotDependOnThreads) {
  std::vector<float> v = random_floats(300'001);
  const Hash128 expected = hash_tensor("w", view(v, {300'001}), nullptr);
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(hash_tensor("w", view(v, {300'001}), &pool), expected);
    EXPECT_EQ(hash_tensor("w", view(v, {300, 1000}), &pool), hash_tensor("w", view(v, {300, 1000}), nullptr));
  }
}

TEST(StateHash, DoesNotDependOnStrides) {
  std::vector<float> v = random_floats(12), turned(12);
  for (size_t r = 0; r < 4; ++r)
    for (size_t c = 0; c < 3; ++c) turned[c * 4 + r] = v[r * 3 + c];
  Tensor transposed = view(turned, {3, 4});
  std::swap(transposed.shape[0], transposed.shape[1]);
  std::swap(transposed.strides[0], transposed.strides[1]);
  EXPECT_EQ(hash_tensor("w", transposed, nullptr), hash_tensor("w", view(v, {4, 3}), nullptr));
}

TEST(StateHash, ChangesWithEveryBit) {
  std::vector<float> v = random_floats(64);
  std::set<std::string> seen{hash_tensor("w", view(v, {64}), nullptr).str()};
  auto* bits = reinterpret_cast<uint32_t*>(v.data());
  for (size_t bit = 0; bit < 64 * 32; ++bit) {
    bits[bit / 32] ^= uint32_t{1} << bit % 32;
    EXPECT_TRUE(seen.insert(hash_tensor("w", view(v, {64}), nullptr).str()).second) << "bit " << bit;
    bits[bit / 32] ^= uint32_t{1} << bit % 32;
  }
}

TEST(StateHash, ChangesWithEverySwap) {
  std::vector<float> v = random_floats(40);
  std::set<std::string> seen{hash_tensor("w", view(v, {40}), nullptr).str()};
  for (size_t i = 0; i < 40; ++i)
    for (size_t j = 0; j < i; ++j) {
      std::swap(v[i], v[j]);
      EXPECT_TRUE(seen.insert(hash_tensor("w", view(v, {40}), nullptr).str()).second) << i << " and " << j;
      std::swap(v[i], v[j]);
    }
}

TEST(StateHash, ChangesWithNameShapeAndType) {
  std::vector<float> v(12, 0.0F);
  const std::set<std::string> seen{hash_tensor("w", view(v, {12}), nullptr).str(),
                                   hash_tensor("x", view(v, {12}), nullptr).str(),
                                   hash_tensor("w", view(v, {3, 4}), nullptr).str(),
                                   hash_tensor("w", view(v, {4, 3}), nullptr).str(),
                                   hash_tensor("w", Tensor(v.data(), DType::i32, kCpu, {12}), nullptr).str(),
                                   hash_tensor("w", view(v, {11}), nullptr).str()};
  EXPECT_EQ(seen.size(), 6U);
}

// It is written into every manifest. The values come from the formula in state_hash.h, worked out in Python's integers.
TEST(StateHash, KeepsItsValueAcrossVersions) {
  std::vector<float> v(6);
  std::iota(v.begin(), v.end(), 0.5F);
  EXPECT_EQ(hash_tensor("blocks.0.weight", view(v, {2, 3}), nullptr).str(), "06f7e124d042faca4af0ccdd898993c2");
  EXPECT_EQ(hash_text("trainer.json", "{\"step\":1}").str(), "63ceb162fc0dd631f18716efa994a89d");
}

}  // namespace
}  // namespace trireme
