#include "checkpoint/tensor_io.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/error.h"

namespace trireme {
namespace {

std::vector<float> counting(size_t n) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = static_cast<float>(i);
  return v;
}

/// A 2-d tensor stored as boxes, each with memory of its own at an odd address.
struct Pieces {
  std::vector<std::string> memory;
  StoredTensor tensor;

  Pieces(const std::vector<float>& values, int64_t rows, int64_t cols, const std::vector<Box>& boxes) {
    tensor = {"w", DType::f32, {rows, cols}, {}, "file"};
    memory.reserve(boxes.size());
    for (const Box& b : boxes) {
      std::string& bytes = memory.emplace_back("x");
      for (int64_t r = b.row; r < b.row + b.rows; ++r)
        bytes.append(reinterpret_cast<const char*>(&values[static_cast<size_t>(r * cols + b.col)]),
                     static_cast<size_t>(b.cols) * 4);
      tensor.parts.push_back({b, std::as_bytes(std::span(bytes)).subspan(1)});
    }
  }
};

TEST(StoredTensor, AnyBoxIsReadFromAnyBoxes) {
  const int64_t rows = 11, cols = 7;
  const std::vector<float> values = counting(static_cast<size_t>(rows * cols));
  std::mt19937 random(5);
  for (int trial = 0; trial < 200; ++trial) {
    const int64_t r = random() % (rows + 1), c = random() % (cols + 1);
    const Pieces stored(values, rows, cols,
                        {{0, r, 0, c}, {r, rows - r, 0, c}, {0, r, c, cols - c}, {r, rows - r, c, cols - c}});
    const int64_t row = random() % rows, col = random() % cols;
    const Box box{row, 1 + static_cast<int64_t>(random() % (rows - row)), col,
                  1 + static_cast<int64_t>(random() % (cols - col))};
    std::vector<float> read(static_cast<size_t>(num_elements(box)), -1);
    stored.tensor.read(Tensor(read.data(), DType::f32, kCpu, {box.rows, box.cols}), box);
    for (int64_t i = 0; i < box.rows; ++i)
      for (int64_t j = 0; j < box.cols; ++j)
        ASSERT_EQ(read[static_cast<size_t>(i * box.cols + j)],
                  values[static_cast<size_t>((box.row + i) * cols + box.col + j)]);
  }
}

TEST(StoredTensor, MissingElementsAreAnError) {
  const Pieces stored(counting(6), 2, 3, {{0, 1, 0, 3}});
  std::vector<float> read(6);
  try {
    stored.tensor.read(Tensor(read.data(), DType::f32, kCpu, {2, 3}));
    FAIL();
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("only 3 are stored"), std::string::npos) << e.what();
  }
}

TEST(StoredTensor, IsReadThroughStrides) {
  const Pieces stored(counting(6), 2, 3, {{0, 2, 0, 3}});
  std::vector<float> read(6);
  Tensor turned(read.data(), DType::f32, kCpu, {3, 2});
  std::swap(turned.shape[0], turned.shape[1]);
  std::swap(turned.strides[0], turned.strides[1]);
  stored.tensor.read(turned);
  EXPECT_EQ(read, (std::vector<float>{0, 3, 1, 4, 2, 5}));
}

TEST(StoredTensor, ConvertsBetweenFloatingTypesOnly) {
  const std::vector<float> values{1.0F, -2.5F, 1.00390625F, 65504.0F};
  const Pieces stored(values, 4, 1, {{0, 4, 0, 1}});
  std::vector<bf16_t> brain(4);
  stored.tensor.read(Tensor(brain.data(), DType::bf16, kCpu, {4, 1}));
  std::vector<f16_t> half(4);
  stored.tensor.read(Tensor(half.data(), DType::f16, kCpu, {4, 1}));
  std::vector<double> wide(4);
  stored.tensor.read(Tensor(wide.data(), DType::f64, kCpu, {4, 1}));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(brain[i].bits, to_bf16(values[i]).bits);
    EXPECT_EQ(half[i].bits, to_f16(values[i]).bits);
    EXPECT_EQ(wide[i], static_cast<double>(values[i]));
  }
  std::vector<int32_t> ids(4);
  EXPECT_THROW(stored.tensor.read(Tensor(ids.data(), DType::i32, kCpu, {4, 1})), IoError);
}

TEST(NamedTensor, FillsRowsOfAnyView) {
  std::vector<float> values = counting(12);
  const Tensor whole(values.data(), DType::f32, kCpu, {4, 3});
  Tensor turned = whole;
  std::swap(turned.shape[0], turned.shape[1]);
  std::swap(turned.strides[0], turned.strides[1]);
  std::vector<float> out(4);
  named("t", turned).fill(Tensor(out.data(), DType::f32, kCpu, {1, 4}), 1);
  EXPECT_EQ(out, (std::vector<float>{1, 4, 7, 10}));
  out.resize(6);
  named("s", whole.slice(0, 1, 4)).fill(Tensor(out.data(), DType::f32, kCpu, {2, 3}), 1);
  EXPECT_EQ(out, (std::vector<float>{6, 7, 8, 9, 10, 11}));
  out.resize(2);
  named("v", whole.slice(1, 2, 3)).fill(Tensor(out.data(), DType::f32, kCpu, {2, 1}), 2);
  EXPECT_EQ(out, (std::vector<float>{8, 11}));
}

}  // namespace
}  // namespace trireme
