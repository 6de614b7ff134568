#include "checkpoint/tensor_io.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "tensor/buffer.h"

namespace trireme {
namespace {

template <class Word>
void gather(std::byte* to, const MatrixView& from, int64_t row, int64_t rows) {
  auto* out = reinterpret_cast<Word*>(to);
  const auto* in = reinterpret_cast<const Word*>(from.data);
  for (int64_t r = row; r < row + rows; ++r)
    for (int64_t c = 0; c < from.cols; ++c) *out++ = in[r * from.row_stride + c * from.col_stride];
}

/// Rows of a strided matrix, without gaps.
void gather_rows(std::byte* to, const MatrixView& from, int64_t row, int64_t rows, int64_t element) {
  switch (element) {
    case 1: return gather<uint8_t>(to, from, row, rows);
    case 2: return gather<uint16_t>(to, from, row, rows);
    case 4: return gather<uint32_t>(to, from, row, rows);
    default: return gather<uint64_t>(to, from, row, rows);
  }
}

/// Fills rows of a transposed matrix in another memory: they are columns there, a block of which is brought over.
std::function<void(Tensor, int64_t)> columns_of(const Tensor& view) {
  CHECK(view.rank() == 2 && view.stride(0) == 1, view.str(), " is neither contiguous nor transposed");
  return [view](Tensor out, int64_t row) {
    const int64_t element = dtype_size(view.dtype), rows = out.size(0), cols = view.size(1);
    const Buffer block("columns of a matrix", kCpu, cols * rows * element);
    copy_memory_rows(kCpu, block.data(), rows * element, view.device, view.as<std::byte>() + row * element,
                     view.stride(1) * element, rows * element, cols);
    gather_rows(static_cast<std::byte*>(out.data), {static_cast<std::byte*>(block.data()), rows, cols, 1, rows}, 0,
                rows, element);
  };
}

/// Whether the elements of a tensor, in some order of its dimensions, are one run of memory.
bool is_one_run(const Tensor& t) {
  return t.contiguous() || (t.rank() == 2 && t.stride(0) == 1 && t.stride(1) == t.size(0));
}

double widen(bf16_t v) { return to_float(v); }
double widen(f16_t v) { return to_float(v); }
double widen(double v) { return v; }
void narrow_to(bf16_t& to, double v) { to = to_bf16(static_cast<float>(v)); }
void narrow_to(f16_t& to, double v) { to = to_f16(static_cast<float>(v)); }
void narrow_to(float& to, double v) { to = static_cast<float>(v); }
void narrow_to(double& to, double v) { to = v; }

template <class From, class To>
void convert_run(To* to, int64_t stride, const std::byte* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    From value;  // the file's bytes may lie anywhere
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof value), sizeof value);
    narrow_to(to[i * stride], widen(value));
  }
}

/// Calls fn with a value of the C++ type of a floating dtype.
template <class Fn>
void with_float_type(DType dtype, Fn fn) {
  switch (dtype) {
    case DType::f32: return fn(float{});
    case DType::f64: return fn(double{});
    case DType::bf16: return fn(bf16_t{});
    default: return fn(f16_t{});
  }
}

/// n elements at `from`, one after the other, to `to` with a stride in elements.
void copy_run(std::byte* to, DType to_dtype, int64_t stride, const std::byte* from, DType from_dtype, int64_t n) {
  const int64_t element = dtype_size(from_dtype);
  if (to_dtype == from_dtype && stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n * element));
  } else if (to_dtype == from_dtype) {
    for (int64_t i = 0; i < n; ++i)
      std::memcpy(to + i * stride * element, from + i * element, static_cast<size_t>(element));
  } else {
    with_float_type(from_dtype, [&](auto source) {
      with_float_type(to_dtype, [&](auto target) {
        convert_run<decltype(source)>(reinterpret_cast<decltype(target)*>(to), stride, from, n);
      });
    });
  }
}

}  // namespace

Box whole_box(const Shape& shape) {
  const int64_t rows = shape.rank == 0 ? 1 : shape[0];
  int64_t cols = 1;
  for (int d = 1; d < shape.rank; ++d) cols *= shape[d];
  return {0, rows, 0, cols};
}

bool contains(const Box& outer, const Box& inner) {
  return inner.row >= outer.row && inner.rows >= 0 && inner.rows <= outer.rows &&
         inner.row - outer.row <= outer.rows - inner.rows && inner.col >= outer.col && inner.cols >= 0 &&
         inner.cols <= outer.cols && inner.col - outer.col <= outer.cols - inner.cols;
}

Box intersect(const Box& a, const Box& b) {
  Box out;
  out.row = std::max(a.row, b.row);
  out.rows = std::max<int64_t>(0, std::min(a.row + a.rows, b.row + b.rows) - out.row);
  out.col = std::max(a.col, b.col);
  out.cols = std::max<int64_t>(0, std::min(a.col + a.cols, b.col + b.cols) - out.col);
  return out;
}

MatrixView matrix_view(const Tensor& t) {
  const Box box = whole_box(t.shape);
  auto* data = static_cast<std::byte*>(t.data);
  if (t.rank() == 1) return {data, box.rows, 1, t.stride(0), 1};
  if (t.rank() == 2) return {data, box.rows, box.cols, t.stride(0), t.stride(1)};
  CHECK(t.contiguous(), t.str(), " of this rank must be contiguous");
  return {data, box.rows, box.cols, box.cols, 1};
}

std::string str(const Box& b) {  // no sums: a manifest's numbers may overflow them
  return cat("rows ", b.row, " + ", b.rows, ", columns ", b.col, " + ", b.cols);
}

NamedTensor named_box(std::string name, const Tensor& view, const Shape& shape, const Box& box) {
  const MatrixView from = matrix_view(view);
  CHECK(from.rows == box.rows && from.cols == box.cols && contains(whole_box(shape), box), name, ": ", view.str(),
        " is not ", str(box), " of ", shape.str());
  const bool contiguous = view.contiguous();
  if (!contiguous && view.device != kCpu) return {std::move(name), view.dtype, shape, box, columns_of(view)};
  const auto fill = [from, contiguous, device = view.device, element = dtype_size(view.dtype)](Tensor out,
                                                                                               int64_t row) {
    auto* to = static_cast<std::byte*>(out.data);
    if (contiguous)
      copy_memory(out.device, to, device, from.data + row * from.cols * element, out.bytes());
    else
      gather_rows(to, from, row, out.size(0), element);
  };
  return {std::move(name), view.dtype, shape, box, fill};
}

void StoredTensor::read(const Tensor& to, const Box& box) const {
  if (to.device != kCpu) {
    CHECK(is_one_run(to), name, ": read into ", to.str());
    const Buffer staging("a stored tensor", kCpu, to.bytes());
    Tensor on_host = to;
    on_host.device = kCpu;
    on_host.data = staging.data();
    read(on_host, box);
    return copy_memory(to.device, to.data, kCpu, staging.data(), staging.bytes());
  }
  const MatrixView out = matrix_view(to);
  CHECK(out.rows == box.rows && out.cols == box.cols && contains(whole_box(shape), box), name, " ", shape.str(), ": ",
        str(box), " read into ", to.str());
  if (to.dtype != dtype && !(is_floating(to.dtype) && is_floating(dtype)))
    throw IoError(cat(file, ": tensor ", name, ": expected ", dtype_name(to.dtype), ", found ", dtype_name(dtype)));

  const int64_t from_size = dtype_size(dtype), to_size = dtype_size(to.dtype);
  int64_t found = 0;
  for (const StoredPart& part : parts) {
    const Box shared = intersect(part.box, box);
    found += num_elements(shared);
    if (num_elements(shared) == 0) continue;
    const bool column = part.box.cols == 1;  // its rows follow each other: one run instead of many
    const int64_t runs = column ? 1 : shared.rows, length = column ? shared.rows : shared.cols;
    for (int64_t i = 0; i < runs; ++i) {
      const int64_t row = shared.row + i;
      const int64_t from = (row - part.box.row) * part.box.cols + shared.col - part.box.col;
      if (part.blocks != nullptr) {
        const uint64_t begin = part.offset + static_cast<uint64_t>(from * from_size);
        part.blocks->require(begin, begin + static_cast<uint64_t>(length * from_size), name);
      }
      const int64_t at = (row - box.row) * out.row_stride + (shared.col - box.col) * out.col_stride;
      copy_run(out.data + at * to_size, to.dtype, column ? out.row_stride : out.col_stride,
               part.bytes.data() + from * from_size, dtype, length);
    }
  }
  if (found != num_elements(box))
    throw IoError(cat(file, ": tensor ", name, ": of ", num_elements(box), " elements in ", str(box), " only ", found,
                      " are stored"));
}

}  // namespace trireme
