// Tensors on their way to and from files. To save: a name and a function that fills rows of a buffer, so that fused,
// transposed or far-away parameters are never copied as a whole. Stored: boxes of one logical tensor, possibly in
// several files; reading any other box takes what it needs from each. Nothing here knows of ranks.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/block_file.h"
#include "params/spec.h"
#include "tensor/tensor.h"

namespace trireme {

/// All of a tensor of any rank: its first dimension as rows, the others as columns (a scalar is 1 x 1).
Box whole_box(const Shape& shape);
inline int64_t num_elements(const Box& b) { return b.rows * b.cols; }
bool contains(const Box& outer, const Box& inner);
/// What two boxes share; rows or cols are 0 where that is nothing.
Box intersect(const Box& a, const Box& b);
std::string str(const Box& box);  // "rows 0 + 4, columns 0 + 8": first and number

/// A tensor as rows and columns with strides in elements.
struct MatrixView {
  std::byte* data;
  int64_t rows, cols, row_stride, col_stride;
};
/// Rank 1 (one column) or 2 with any strides; any other rank must be contiguous.
MatrixView matrix_view(const Tensor& t);

/// A box of a logical tensor, to be saved.
struct NamedTensor {
  std::string name;  // of the logical tensor
  DType dtype = DType::f32;
  Shape shape;  // of the logical tensor
  Box box;      // the part that is saved here
  /// Writes rows [row, row + out.size(0)) of the box into `out`: contiguous, of `dtype`, on the CPU.
  std::function<void(Tensor out, int64_t row)> fill;
};

/// The box of a logical tensor of `shape` that `view` holds: rank 1 or 2, any strides (a transposed or sliced view of
/// a fused parameter, say), or any rank where contiguous. Its memory must stay as it is until the save is over.
NamedTensor named_box(std::string name, const Tensor& view, const Shape& shape, const Box& box);
/// A whole tensor.
inline NamedTensor named(std::string name, const Tensor& view) {
  return named_box(std::move(name), view, view.shape, whole_box(view.shape));
}

/// Bytes of one box, row-major without gaps. They need not be aligned.
struct StoredPart {
  Box box;
  std::span<const std::byte> bytes;
  LazyBlocks* blocks = nullptr;  // of a file that is checked as it is read; null: it was checked, or has no checksums
  uint64_t offset = 0;           // of `bytes` in that file
};

/// A logical tensor in mapped files. Valid while the files are.
struct StoredTensor {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<StoredPart> parts;
  std::string file;  // of the first part, for messages

  /// Writes the elements of `box` to `to`: box.rows x box.cols, rank 1 or 2 with any strides, or any rank where
  /// contiguous; on a GPU one run of memory without gaps, as it is or transposed. Floating types are converted (nearest
  /// even). IoError where the box is not all stored, or the types do not convert.
  void read(const Tensor& to, const Box& box) const;
  void read(const Tensor& to) const { read(to, whole_box(shape)); }
};

}  // namespace trireme
