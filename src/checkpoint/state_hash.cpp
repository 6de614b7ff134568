#include "checkpoint/state_hash.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"
#include "base/random.h"
#include "checkpoint/tensor_io.h"

namespace trireme {
namespace {

constexpr uint64_t kSpread = 0x9FB21C651E98DF25;  // odd: values stay distinct
constexpr int64_t kGrain = 1 << 15;               // elements a thread takes at a time

/// The elements [first, first + n) of a row (stride in elements), whose global index starts at `index`.
template <class Word>
Hash128 hash_run(uint64_t seed, uint64_t index, const std::byte* data, int64_t stride, int64_t n) {
  unsigned __int128 sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t key = mix64(seed, index + static_cast<uint64_t>(i));
    Word bits;  // of a file, perhaps, where nothing need be aligned
    std::memcpy(&bits, data + i * stride * static_cast<int64_t>(sizeof bits), sizeof bits);
    const uint64_t value = (uint64_t{bits} + 1) * kSpread;
    sum += static_cast<unsigned __int128>(key) * value;
  }
  return {static_cast<uint64_t>(sum), static_cast<uint64_t>(sum >> 64)};
}

Hash128 hash_run(uint64_t seed, uint64_t index, const std::byte* data, int64_t element, int64_t stride, int64_t n) {
  switch (element) {
    case 1: return hash_run<uint8_t>(seed, index, data, stride, n);
    case 2: return hash_run<uint16_t>(seed, index, data, stride, n);
    case 4: return hash_run<uint32_t>(seed, index, data, stride, n);
    default: return hash_run<uint64_t>(seed, index, data, stride, n);
  }
}

}  // namespace

Hash128 hash_box(std::string_view name, const Shape& shape, const Box& box, const Tensor& part, ThreadPool* pool) {
  MatrixView m = matrix_view(part);
  const int64_t global_cols = whole_box(shape).cols, element = dtype_size(part.dtype);
  CHECK(m.rows == box.rows && m.cols == box.cols && contains(whole_box(shape), box), name, " ", shape.str(), ": ",
        part.str(), " hashed as ", str(box));
  const uint64_t seed = name_hash(cat(name, " ", dtype_name(part.dtype), " ", shape.str()));
  const uint64_t index = static_cast<uint64_t>(box.row * global_cols + box.col);

  // Whole rows that follow each other evenly are one long row, which is then dealt to the threads in pieces.
  int64_t pitch = global_cols;  // of the index, a row
  if (m.cols == global_cols && (m.cols == 1 || m.row_stride == m.cols * m.col_stride)) {
    const int64_t n = m.rows * m.cols, stride = m.cols == 1 ? m.row_stride : m.col_stride;
    pitch = kGrain;
    m = {m.data, ceil_div(n, kGrain), kGrain, kGrain * stride, stride};
  }
  const int64_t last = num_elements(box) - (m.rows - 1) * m.cols;  // length of the last row: the rest of the elements

  std::vector<Hash128> sums(pool ? static_cast<size_t>(pool->size()) : 1);
  const auto rows = [&](int64_t begin, int64_t end, int thread) {
    Hash128 sum;
    for (int64_t r = begin; r < end; ++r)
      sum.add(hash_run(seed, index + static_cast<uint64_t>(r * pitch), m.data + r * m.row_stride * element, element,
                       m.col_stride, r + 1 < m.rows ? m.cols : last));
    sums[static_cast<size_t>(thread)].add(sum);
  };
  if (pool != nullptr)
    pool->parallel_for(m.rows, ceil_div(kGrain, std::max<int64_t>(m.cols, 1)), rows);
  else
    rows(0, m.rows, 0);

  Hash128 total;
  for (const Hash128& sum : sums) total.add(sum);
  return total;
}

Hash128 hash_tensor(std::string_view name, const Tensor& tensor, ThreadPool* pool) {
  return hash_box(name, tensor.shape, whole_box(tensor.shape), tensor, pool);
}

Hash128 hash_text(std::string_view name, std::string_view text) {
  const Tensor bytes(const_cast<char*>(text.data()), DType::u8, kCpu, {static_cast<int64_t>(text.size())});
  return hash_tensor(name, bytes, nullptr);
}

}  // namespace trireme
