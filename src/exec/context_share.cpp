#include "exec/context_share.h"

#include <algorithm>
#include <cstring>

#include "base/numeric.h"

namespace trireme {

int64_t ContextShape::padded_length() const {
  const int64_t step = ranks > 1 ? 2 * ranks : 1;
  int64_t padded = round_up(length, step);
  while (samples * padded / ranks % multiple != 0) padded += step;
  return padded;
}

ContextDealer::ContextDealer(const ContextShape& shape, int micro_batches, Device device) : shape_(shape) {
  if (shape.whole()) return;
  const int64_t n = shape.tokens(), row = 4 * 4 + 8 + static_cast<int64_t>(sizeof(Segment));
  const int64_t stride = round_up(n * row, kAlignment);
  memory_ = Buffer("a rank's own tokens", device, micro_batches * stride);  // zero, as padding stays
  for (int m = 0; m < micro_batches; ++m) {
    int64_t offset = m * stride;
    const auto take = [&](DType dtype) {
      const Tensor t = memory_.view(dtype, {n}, offset);
      offset += t.bytes();
      return t;
    };
    Batch& batch = batches_.emplace_back();
    batch.sample_ids = take(DType::i64);
    batch.tokens = take(DType::i32);
    batch.targets = take(DType::i32);
    batch.weights = take(DType::f32);
    batch.positions = take(DType::i32);
    batch.context.chunk = shape.ranks > 1 ? shape.chunk() : 0;
    segments_.push_back(device.kind == DeviceKind::meta
                            ? nullptr
                            : reinterpret_cast<Segment*>(static_cast<char*>(memory_.data()) + offset));
  }
}

void ContextDealer::copy_rows(const Tensor& to, const Tensor& from) const {
  const int64_t size = dtype_size(to.dtype), length = shape_.length, runs = shape_.ranks > 1 ? 2 : 1;
  const int64_t run = shape_.padded_length() / shape_.ranks / runs;  // rows that lie together in both
  for (int64_t half = 0; half < runs; ++half)
    for (int64_t b = 0; b < shape_.samples; ++b) {
      const int64_t first = runs == 1 ? 0 : context_chunk(shape_.rank, shape_.ranks, half) * run;
      const int64_t count = std::clamp<int64_t>(length - first, 0, run);
      std::memcpy(to.as<char>() + (half * shape_.samples + b) * run * size,
                  from.as<char>() + (b * length + first) * size, static_cast<size_t>(count * size));
    }
}

/// A segment of the micro-batch among padded samples.
Segment ContextDealer::padded(Segment s) const {
  const int64_t length = shape_.length, b = s.q_begin / length, sample_end = (b + 1) * length;
  const auto padding = static_cast<int32_t>(shape_.padded_length() - length), shift = static_cast<int32_t>(b) * padding;
  CHECK(s.q_begin + s.q_len <= sample_end, "a segment of rows ", s.q_begin, " + ", s.q_len, " crosses a sample of ",
        length);
  if (s.q_begin + s.q_len == sample_end) {
    s.q_len += padding;
    s.k_len += padding;
  }
  s.q_begin += shift;
  s.k_begin += shift;
  return s;
}

std::span<const Segment> ContextDealer::cut_segments(std::span<const Segment> whole, int64_t half, Segment* out) const {
  const int64_t chunk = shape_.chunk(), length = shape_.padded_length();
  size_t count = 0;
  for (const Segment& given : whole) {
    const Segment s = padded(given);
    const int64_t b = s.q_begin / length;
    const int64_t first = b * length + context_chunk(shape_.rank, shape_.ranks, half) * chunk;
    const int64_t begin = std::max<int64_t>(s.q_begin, first);
    const int64_t end = std::min<int64_t>(s.q_begin + s.q_len, first + chunk);
    if (begin >= end) continue;
    Segment piece = s;
    piece.q_begin = static_cast<int32_t>(b * chunk + begin - first);
    piece.q_len = static_cast<int32_t>(end - begin);
    piece.q_pos = static_cast<int32_t>(s.q_pos + begin - s.q_begin);
    // Nobody here sees a key behind the last query.
    piece.k_len = std::clamp(piece.q_pos + piece.q_len - s.k_pos, 0, s.k_len);
    out[count++] = piece;
  }
  return {out, count};
}

std::span<const Batch> ContextDealer::deal(std::span<const Batch> whole) {
  if (shape_.whole()) return whole;
  CHECK(whole.size() <= batches_.size(), whole.size(), " micro-batches, room for ", batches_.size());
  for (size_t m = 0; m < whole.size(); ++m) {
    const Batch& from = whole[m];
    Batch& to = batches_[m];
    CHECK(from.num_tokens() == shape_.samples * shape_.length, from.num_tokens(), " tokens, expected ", shape_.samples,
          " samples of ", shape_.length);
    copy_rows(to.sample_ids, from.sample_ids);
    copy_rows(to.tokens, from.tokens);
    copy_rows(to.targets, from.targets);
    copy_rows(to.weights, from.weights);
    copy_rows(to.positions, from.positions);
    to.total_weight = from.total_weight;
    if (shape_.ranks == 1) {
      std::transform(from.segments.begin(), from.segments.end(), segments_[m], [&](auto& s) { return padded(s); });
      to.segments = {segments_[m], from.segments.size()};
      continue;
    }
    for (int64_t half = 0; half < 2; ++half)
      to.context.halves[static_cast<size_t>(half)] =
          cut_segments(from.segments, half, segments_[m] + half * rows_of_half());
  }
  return std::span(batches_).first(whole.size());
}

}  // namespace trireme
