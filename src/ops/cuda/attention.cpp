// Which kernel takes a call of attention.
#include "ops/cuda/attention.h"

#include "base/numeric.h"
#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/attention_stats.h"
#include "ops/cuda/cudnn_attention.h"
#include "ops/cuda/launch.cuh"

namespace trireme::cuda {
namespace {

constexpr int64_t kCudnnLength = 128;  // least, and kCudnnGrain divides it: what is known to work (docs/design/ops.md)
constexpr int64_t kCudnnGrain = 64;
constexpr int64_t kCudnnHeadSize = 128;  // largest

/// The sequences, where cuDNN is to be asked; count 0 otherwise.
EqualSequences for_cudnn(const Ctx& ctx, const Tensor& q, const Tensor& k, const AttentionArgs& args) {
  const bool plain = args.causal && args.window == 0 && !(ctx.train && args.dropout > 0);
  if (!plain || q.dtype == DType::f32 || k.dtype != q.dtype) return {};
  if (q.size(2) % 8 != 0 || q.size(2) > kCudnnHeadSize) return {};
  const EqualSequences sequences = equal_sequences(args, q.size(0), k.size(0));
  if (sequences.length < kCudnnLength || sequences.length % kCudnnGrain != 0) return {};
  return sequences;
}

/// Cuts scratch into aligned pieces.
class Scratch {
 public:
  explicit Scratch(const Tensor& memory) : memory_(memory) {}
  Tensor take(DType dtype, const Shape& shape) {
    const int64_t begin = used_;
    used_ = round_up(used_ + shape.numel() * dtype_size(dtype), kAlignment);
    CHECK(used_ <= memory_.bytes(), "scratch of attention holds ", memory_.bytes(), " bytes, not ", used_);
    return {memory_.slice(0, begin, used_).data, dtype, memory_.device, shape};
  }
  Tensor rest() const { return memory_.slice(0, used_, memory_.bytes()); }

 private:
  const Tensor& memory_;
  int64_t used_ = 0;
};

/// The segments in device memory, for the kernels that follow.
const Segment* upload(const Ctx& ctx, const AttentionArgs& args, Scratch& scratch) {
  refuse_to_repeat(ctx, "attention reads its segments from the host");
  const auto bytes = static_cast<int64_t>(args.segments.size_bytes());
  const Tensor to = scratch.take(DType::u8, {bytes});
  check_cuda(cudaMemcpyAsync(to.data, args.segments.data(), static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                             stream_of(ctx)),
             "cudaMemcpyAsync");
  return to.as<Segment>();
}

}  // namespace

void attention_forward(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args, const Tensor& memory) {
  if (args.segments.empty() || q.numel() == 0) return;
  Scratch scratch(memory);
  if (const EqualSequences s = for_cudnn(ctx, q, k, args); s.count > 0) {
    const Tensor stats = scratch.take(DType::f32, {s.count, q.size(1), s.length});
    if (cudnn_attention_forward(ctx, o, stats, q, k, v, args, scratch.rest()) && !ctx.planning()) {
      cuda_profile_mark(*ctx.cuda, "attention_stats", 0, 0);
      return lse_from_stats(ctx, lse, stats);
    }
  }
  if (ctx.planning()) return;
  attention_forward_kernel(ctx, o, lse, q, k, v, args, upload(ctx, args, scratch));
}

void attention_backward(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args, const Tensor& memory) {
  Scratch scratch(memory);
  if (const EqualSequences s = for_cudnn(ctx, g.q, g.k, args); s.count > 0) {
    const Tensor stats = scratch.take(DType::f32, {s.count, g.q.size(1), s.length});
    if (!ctx.planning()) stats_from_lse(ctx, stats, g.lse);
    if (cudnn_attention_backward(ctx, g, stats, args, scratch.rest())) return;
  }
  if (ctx.planning()) return;
  attention_backward_kernel(ctx, g, args, upload(ctx, args, scratch));
}

}  // namespace trireme::cuda
