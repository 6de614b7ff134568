// bench_ops_cuda [NAME]: bytes a second of every memory-bound kernel (or those named so) on the first GPU at the shapes
// of real models, and as a share of a plain device copy of the same run. Random bf16 data; median of several rounds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "device/cuda.h"
#include "ops/activation.h"
#include "ops/basic.h"
#include "ops/embedding.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/optim.h"
#include "ops/rope.h"

namespace trireme {
namespace {

constexpr Device kGpu{DeviceKind::cuda, 0};

class Bench {
 public:
  /// Without `only` all ops; else the first, and those whose names hold it.
  explicit Bench(std::string only)
      : only_(std::move(only)),
        cuda_(make_cuda_context(kGpu)),
        memory_("bench", kGpu, int64_t{24} << 30),
        temp_("temp", kGpu, int64_t{1} << 30) {
    ctx_.device = kGpu;
    ctx_.backend = DeviceKind::cuda;
    ctx_.cuda = cuda_.get();
    ctx_.temp = &temp_;
    ctx_.count = &count_;
    ctx_.seed = 1;
  }
  Ctx& ctx() { return ctx_; }

  /// Noise made by the dropout generator: all elements differ, mean 0.
  Tensor noise(DType dtype, const Shape& shape) {
    const Tensor t = memory_.take(dtype, shape);
    const int64_t n = std::min<int64_t>(t.numel(), int64_t{1} << 16);
    std::vector<float> values(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
      values[static_cast<size_t>(i)] = normal_float(RandomKey::of(1, 2), static_cast<uint64_t>(i));
    const int64_t mark = temp_.mark();
    const Tensor source = temp_.take(DType::f32, {n});
    copy_memory(kGpu, source.data, kCpu, values.data(), source.bytes());
    const Tensor flat = t.reshape({t.numel()});
    for (int64_t i = 0; i < t.numel(); i += n)
      copy(ctx_, flat.slice(0, i, std::min(i + n, t.numel())), source.slice(0, 0, std::min(n, t.numel() - i)));
    temp_.release(mark);
    return t;
  }
  Tensor integers(const Shape& shape, int32_t limit) {
    const Tensor t = memory_.take(DType::i32, shape);
    std::vector<int32_t> values(static_cast<size_t>(t.numel()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<int32_t>(RandomKey::of(1, 3).draw(0, i)[0] % static_cast<uint32_t>(limit));
    copy_memory(kGpu, t.data, kCpu, values.data(), t.bytes());
    return t;
  }
  void release() { memory_.release(0); }

  /// Prints one line. The first is the copy that all others are compared with.
  void run(const std::string& name, const Shape& shape, const std::function<void(Ctx&)>& op) {
    if (copy_rate_ != 0 && name.find(only_) == std::string::npos) return;
    constexpr int kRounds = 7, kCalls = 10;
    op(ctx_);
    count_ = {};
    op(ctx_);
    const double bytes = count_.bytes;
    std::vector<double> times;
    for (int round = 0; round < kRounds; ++round) {
      cuda_synchronize(cuda_.get());
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < kCalls; ++i) op(ctx_);
      cuda_synchronize(cuda_.get());
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / kCalls);
    }
    std::sort(times.begin(), times.end());
    const double rate = bytes / times[kRounds / 2];
    if (copy_rate_ == 0) copy_rate_ = rate;
    std::printf("%-32s %-16s %9.1f us %8.0f GB/s %6.1f %% of a copy\n", name.c_str(), shape.str().c_str(),
                times[kRounds / 2] * 1e6, rate * 1e-9, 100 * rate / copy_rate_);
    std::fflush(stdout);
  }

 private:
  std::string only_;
  CudaContextPtr cuda_;
  Arena memory_, temp_;
  OpCount count_;
  Ctx ctx_;
  double copy_rate_ = 0;
};

constexpr DType kType = DType::bf16;

void bench_channels(Bench& b, int64_t n, int64_t c) {
  const Shape shape{n, c};
  const Tensor x = b.noise(kType, shape), delta = b.noise(kType, shape), y = b.noise(kType, shape);
  const Tensor dy = b.noise(kType, shape), dx = b.noise(kType, shape);
  const Tensor weight = b.noise(kType, {c}), bias = b.noise(kType, {c});
  const Tensor mean = b.noise(DType::f32, {n}), rstd = b.noise(DType::f32, {n});
  const Tensor dweight = b.noise(DType::f32, {c}), dbias = b.noise(DType::f32, {c});
  const RowSums sums{b.noise(DType::f32, {c}), b.noise(DType::f32, {c})};
  b.run("copy", shape, [&](Ctx& ctx) { copy(ctx, y, x); });
  b.run("add", shape, [&](Ctx& ctx) { add(ctx, y, x, delta); });
  b.run("layer_norm_forward", shape,
        [&](Ctx& ctx) { layer_norm_forward(ctx, y, Tensor(), mean, rstd, x, Tensor(), weight, bias, 1e-5F); });
  b.run("layer_norm_forward + residual", shape,
        [&](Ctx& ctx) { layer_norm_forward(ctx, y, dx, mean, rstd, x, delta, weight, bias, 1e-5F); });
  b.run("rms_norm_forward + residual", shape,
        [&](Ctx& ctx) { rms_norm_forward(ctx, y, dx, rstd, x, delta, weight, 1e-5F); });
  b.run("layer_norm_backward", shape,
        [&](Ctx& ctx) { layer_norm_backward(ctx, dx, dweight, dbias, dy, x, weight, mean, rstd, false); });
  b.run("layer_norm_backward, added", shape,
        [&](Ctx& ctx) { layer_norm_backward(ctx, dx, dweight, dbias, dy, x, weight, mean, rstd, true); });
  b.run("layer_norm_backward, sums", shape,
        [&](Ctx& ctx) { layer_norm_backward(ctx, dx, dweight, dbias, dy, x, weight, mean, rstd, true, sums); });
  b.run("rms_norm_backward, added", shape,
        [&](Ctx& ctx) { rms_norm_backward(ctx, dx, dweight, dy, x, weight, rstd, true); });
  b.run("gelu_forward", shape, [&](Ctx& ctx) { gelu_forward(ctx, y, x); });
  b.run("gelu_backward", shape, [&](Ctx& ctx) { gelu_backward(ctx, dx, dy, x); });
  b.run("sum_rows", shape, [&](Ctx& ctx) { sum_rows(ctx, dweight, x); });
  const Tensor squares[] = {x}, total = b.noise(DType::f32, {2});
  const Tensor sum(total.data, DType::f64, total.device, {1});
  b.run("sum_squares", shape, [&](Ctx& ctx) { sum_squares(ctx, sum, squares); });
  const Tensor gate_up = b.noise(kType, {n, 2 * c}), dgate_up = b.noise(kType, {n, 2 * c});
  b.run("swiglu_forward", shape, [&](Ctx& ctx) { swiglu_forward(ctx, y, gate_up); });
  b.run("swiglu_backward", shape, [&](Ctx& ctx) { swiglu_backward(ctx, dgate_up, dy, gate_up); });
  b.run("swiglu_backward, y again", shape, [&](Ctx& ctx) { swiglu_backward(ctx, dgate_up, dy, gate_up, y); });

  const int64_t d = 128, heads = c / d, positions = 8192;
  Tensor by_head = x;
  by_head.shape = {n, heads, d};
  by_head.strides = {c, d, 1};
  const Tensor at = b.integers({n}, static_cast<int32_t>(positions)), table = b.noise(DType::f32, {positions, d});
  b.run("rope", shape, [&](Ctx& ctx) { rope(ctx, by_head, at, table); });

  const int64_t vocab = 50304;
  const Tensor ids = b.integers({n}, static_cast<int32_t>(vocab)), words = b.noise(kType, {vocab, c});
  const Tensor dwords = b.noise(DType::f32, {vocab, c});
  b.run("embedding_forward", shape, [&](Ctx& ctx) { embedding_forward(ctx, y, ids, words, 0); });
  b.run("embedding_backward", shape, [&](Ctx& ctx) { embedding_backward(ctx, dwords, ids, dy, 0); });
  const Tensor few = b.integers({n}, 1024);
  b.run("embedding_backward, 1024 rows", shape, [&](Ctx& ctx) { embedding_backward(ctx, dwords, few, dy, 0); });
  const Tensor one = b.integers({n}, 1);
  b.run("embedding_backward, 1 row", shape, [&](Ctx& ctx) { embedding_backward(ctx, dwords, one, dy, 0); });
  b.release();
}

void bench_loss(Bench& b, int64_t n, int64_t vocab) {
  const Shape shape{n, vocab};
  const int64_t stride = (vocab + 63) / 64 * 64;
  const Tensor logits = b.noise(kType, {n, stride}).slice(1, 0, vocab);
  const Tensor targets = b.integers({n}, static_cast<int32_t>(vocab)), weights = b.noise(DType::f32, {n});
  const Tensor max = b.noise(DType::f32, {n}), sum = b.noise(DType::f32, {n}), hit = b.noise(DType::f32, {n});
  const Tensor loss = b.noise(DType::f32, {n}), lse = b.noise(DType::f32, {n});
  b.run("cross_entropy_stats", shape, [&](Ctx& ctx) { cross_entropy_stats(ctx, max, sum, hit, logits, targets, 0); });
  b.run("cross_entropy_backward", shape,
        [&](Ctx& ctx) { cross_entropy_backward(ctx, logits, lse, targets, weights, 1e-5F, 0); });
  b.run("cross_entropy", shape, [&](Ctx& ctx) { cross_entropy(ctx, loss, logits, targets, weights, 1e-5F); });
  const Tensor pair = b.noise(DType::f32, {2}), total(pair.data, DType::f64, pair.device, {1});
  b.run("weighted_sum", {n}, [&](Ctx& ctx) { weighted_sum(ctx, total, weights, loss); });
  b.release();
}

/// Every way of keeping values and moments.
void bench_adamw(Bench& b, int64_t n) {
  const Tensor param = b.noise(kType, {n}), grad = b.noise(DType::f32, {n}), master = b.noise(DType::f32, {n});
  const Tensor m = b.noise(DType::f32, {n}), v = b.noise(DType::f32, {n});
  const Tensor scales = b.noise(DType::f32, {code_blocks(n)});
  const auto bits = [n](const Tensor& t, DType dtype) { return Tensor(t.data, dtype, t.device, {n}); };
  const auto run = [&](const std::string& kept, const AdamWSlice& slice) {
    fill(b.ctx(), slice.v.dtype == DType::u8 ? bits(v, DType::f32) : slice.v, 1);
    b.run(cat("adamw_update, ", kept), {n}, [&](Ctx& ctx) { adamw_update(ctx, slice, {.lr = 1e-4F}); });
  };
  const Tensor none, half = bits(master, DType::u16), m16 = bits(m, kType), v16 = bits(v, kType);
  const Tensor m8 = bits(m, DType::u8), v8 = bits(v, DType::u8);
  run("f32 f32", {master, m, v, param, grad, 0.1F});
  run("remainder f32", {half, m, v, param, grad, 0.1F});
  run("remainder bf16", {half, m16, v16, param, grad, 0.1F});
  run("none bf16", {none, m16, v16, param, grad, 0.1F});
  run("none 8bit", {none, m8, v8, param, grad, 0.1F, scales, scales});
  b.release();
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  using namespace trireme;
  if (cuda_device_count() == 0) {
    std::fprintf(stderr, "bench_ops_cuda: no GPU here\n");
    return 1;
  }
  std::printf("%s\n", cuda_device_name(0).c_str());
  Bench b(argc > 1 ? argv[1] : "");
  for (const int64_t c : {768, 1536, 3584, 4096}) bench_channels(b, 65536, c);
  bench_loss(b, 16384, 50257);
  bench_loss(b, 8192, 128256);
  bench_loss(b, 8192, 151936);
  bench_adamw(b, int64_t{1} << 28);
  bench_adamw(b, 768 * 3072);
  return 0;
}
