#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace trireme {
namespace {

class TensorTest : public ::testing::Test {
 protected:
  TensorTest() : values(24), t(values.data(), DType::f32, kCpu, {2, 3, 4}) {
    std::iota(values.begin(), values.end(), 0.0F);
  }
  std::vector<float> values;
  Tensor t;
};

TEST_F(TensorTest, IsRowMajor) {
  EXPECT_EQ(t.stride(0), 12);
  EXPECT_EQ(t.stride(1), 4);
  EXPECT_EQ(t.stride(2), 1);
  EXPECT_EQ(t.numel(), 24);
  EXPECT_EQ(t.bytes(), 96);
  EXPECT_TRUE(t.contiguous());
  EXPECT_EQ(t.str(), "float32 (2, 3, 4) on cpu");
  EXPECT_FALSE(Tensor().defined());
}

TEST_F(TensorTest, SlicesShareMemoryAndStrides) {
  const Tensor middle = t.slice(1, 1, 3);
  EXPECT_EQ(middle.shape, (Shape{2, 2, 4}));
  EXPECT_EQ(*middle.f32(), 4.0F);
  EXPECT_FALSE(middle.contiguous());
  EXPECT_TRUE(t.slice(0, 1, 2).contiguous());  // a dimension of one may have any stride
  EXPECT_EQ(*t.slice(0, 1, 2).slice(2, 3, 4).f32(), 15.0F);
  EXPECT_EQ(t.slice(1, 2, 2).numel(), 0);
  EXPECT_THROW(t.slice(1, 2, 4), Bug);
  EXPECT_THROW(t.slice(1, -1, 2), Bug);
  EXPECT_THROW(t.slice(3, 0, 1), Bug);
  EXPECT_THROW(t.slice(1, 2, 1), Bug);
}

TEST_F(TensorTest, ReshapesWhereContiguous) {
  EXPECT_EQ(t.reshape({6, 4}).stride(0), 4);
  EXPECT_THROW(t.reshape({5, 5}), Bug);
  EXPECT_THROW(t.slice(1, 0, 2).reshape({16}), Bug);
}

TEST_F(TensorTest, RowsMergeAllButTheLastDimension) {
  EXPECT_EQ(t.rows().shape, (Shape{6, 4}));
  const Tensor narrow = t.slice(2, 1, 3).rows();  // rows further apart than they are long
  EXPECT_EQ(narrow.shape, (Shape{6, 2}));
  EXPECT_EQ(narrow.stride(0), 4);
  EXPECT_EQ(narrow.f32()[5 * narrow.stride(0)], 21.0F);
  EXPECT_EQ(t.slice(0, 0, 1).slice(1, 0, 2).rows().shape, (Shape{2, 4}));
  EXPECT_THROW(t.slice(1, 0, 2).rows(), Bug);
  EXPECT_THROW(Tensor().rows(), Bug);
  EXPECT_EQ(Tensor(values.data(), DType::f32, kCpu, {24}).rows().shape, (Shape{1, 24}));
}

TEST_F(TensorTest, MetaTensorsHaveShapesOnly) {
  const Tensor m(nullptr, DType::bf16, kMeta, {1'000'000, 1'000'000});
  EXPECT_EQ(m.bytes(), 2'000'000'000'000);
  EXPECT_EQ(m.slice(0, 5, 6).data, nullptr);
  EXPECT_EQ(m.rows().shape, (Shape{1'000'000, 1'000'000}));
}

TEST_F(TensorTest, TypedAccessChecksTheDtype) {
  EXPECT_EQ(t.f32(), values.data());
  EXPECT_THROW(t.i32(), Bug);
}

TEST(ShapeTest, ComparesAndPrints) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3}) == (Shape{3, 2}));
  EXPECT_FALSE((Shape{2}) == (Shape{2, 1}));
  EXPECT_EQ((Shape{2, 3}.str()), "(2, 3)");
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1}), Bug);
}

}  // namespace
}  // namespace trireme
