#include "ops/cpu/matmul.h"

#include <algorithm>

#include "base/numeric.h"
#include "ops/cpu/blas.h"
#include "ops/cpu/convert.h"
#include "ops/cpu/float8.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/skinny.h"

namespace trireme::cpu {
namespace {

constexpr int64_t kTile = 256;           // side of a tile: it packs into the second cache, and 16 threads find work
constexpr int64_t kLeastTile = 128;      // side below which a tile is not cut further
constexpr int64_t kLeastParts = 4;       // wanted even of small products, for the threads
constexpr double kLeastWork = 2e6;       // multiply-adds of a tile below which a thread is not worth waking
constexpr int64_t kAlign = 32;           // of cuts: a multiple of the micro-kernels' sides
constexpr int64_t kPanel = 512;          // of k, where operands pass through scratch
constexpr int64_t kSkinnyColumns = 128;  // a block of the skinny path

int64_t parts_of(int64_t size) { return std::max<int64_t>(1, (size + kTile / 2) / kTile); }
int64_t tile_of(int64_t size, int64_t parts) { return ceil_div(ceil_div(size, kAlign), parts) * kAlign; }

/// Where part `i` begins: parts are even to within kAlign.
int64_t cut(int64_t size, int64_t parts, int64_t i) {
  return std::min(size, part_begin(ceil_div(size, kAlign), parts, i) * kAlign);
}

/// Rows [begin, begin + rows), columns [col, col + cols) of a rank 2 tensor.
Block block_of(const Tensor& t, int64_t begin, int64_t rows, int64_t col, int64_t cols) {
  char* data = t.as<char>() + (begin * t.stride(0) + col) * dtype_size(t.dtype);
  return {data, t.dtype, std::max(t.stride(0), t.size(1)), rows, cols};
}

/// The part of a logical matrix that starts at (row, col), as sgemm wants it: in place, or in `scratch` as f32.
GemmOperand operand(const Tensor& t, bool transposed, int64_t row, int64_t rows, int64_t col, int64_t cols,
                    float* scratch) {
  const Block stored = transposed ? block_of(t, col, cols, row, rows) : block_of(t, row, rows, col, cols);
  if (t.dtype == DType::f32) return {static_cast<const float*>(stored.data), stored.ld, transposed};
  if (is_float8(t.dtype))
    load_float8(scratch, stored.cols, t.dtype, static_cast<const uint8_t*>(stored.data), stored.ld, stored.rows,
                stored.cols);
  else
    load_block(scratch, stored.cols, stored);
  return {scratch, stored.cols, transposed};
}

/// What the product is added to: the old c, the bias in every row, or nothing. True where c now holds something.
bool begin_block(float* c, int64_t ldc, const Block& old, const MatmulOptions& options, int64_t col) {
  if (options.accumulate) {
    if (c != old.data) load_block(c, ldc, old);
    return true;
  }
  if (options.bias == nullptr) return false;
  const Tensor& bias = *options.bias;
  const Block row{bias.as<char>() + col * dtype_size(bias.dtype), bias.dtype, 0, old.rows, old.cols};
  load_block(c, ldc, row);  // stride 0: the same row again and again
  return true;
}

struct Tile {
  int64_t m = 0, m_end = 0, n = 0, n_end = 0;
};

/// What a sum of products is multiplied by.
float factor_of(const MatmulOptions& options) {
  if (options.a_scale == nullptr) return options.alpha;
  return options.alpha * *options.a_scale->f32() * *options.b_scale->f32();
}

void run_tile(const MatmulPlan& plan, const Tile& t, const Tensor& c, const Tensor& a, const Tensor& b,
              const MatmulOptions& options, float* scratch) {
  const int64_t m = t.m_end - t.m, n = t.n_end - t.n;
  float* a_scratch = scratch;
  float* b_scratch = a_scratch + plan.a_floats;
  const Block c_block = block_of(c, t.m, m, t.n, n);
  const bool direct = c.dtype == DType::f32;
  float* sum = direct ? static_cast<float*>(c_block.data) : b_scratch + plan.b_floats;
  const int64_t ldc = direct ? c_block.ld : n;
  bool started = begin_block(sum, ldc, c_block, options, t.n);
  int64_t k = 0;
  do {  // also once where k is 0: sgemm then writes the zeros
    const int64_t panel = std::min(plan.k_panel, plan.k - k);
    const GemmOperand left = operand(a, options.transpose_a, t.m, m, k, panel, a_scratch);
    const GemmOperand right = operand(b, options.transpose_b, k, panel, t.n, n, b_scratch);
    sgemm(m, n, panel, factor_of(options), left, right, started ? 1.0F : 0.0F, sum, ldc);
    started = true;
    k += panel;
  } while (k < plan.k);
  if (!direct) store_block(c_block, sum, ldc);
}

void run_skinny(const MatmulPlan& plan, int64_t begin, int64_t end, const Tensor& c, const Tensor& b,
                const MatmulOptions& options, const float* a, int64_t lda) {
  alignas(64) float product[kSkinnyRows * kSkinnyColumns], sum[kSkinnyRows * kSkinnyColumns];
  for (int64_t n = begin; n < end; n += kSkinnyColumns) {
    const int64_t cols = std::min(kSkinnyColumns, end - n);
    const Block c_block = block_of(c, 0, plan.m, n, cols);
    const Block b_block = options.transpose_b ? block_of(b, n, cols, 0, plan.k) : block_of(b, 0, plan.k, n, cols);
    skinny_product({.m = plan.m,
                    .n = cols,
                    .k = plan.k,
                    .alpha = options.alpha,
                    .a = a,
                    .lda = lda,
                    .b = b_block.data,
                    .b_dtype = b.dtype,
                    .ldb = b_block.ld,
                    .transposed = options.transpose_b,
                    .c = product,
                    .ldc = kSkinnyColumns});
    if (begin_block(sum, kSkinnyColumns, c_block, options, n))
      for (int64_t i = 0; i < plan.m * kSkinnyColumns; ++i) product[i] += sum[i];
    store_block(c_block, product, kSkinnyColumns);
  }
}

}  // namespace

MatmulPlan plan_matmul(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options, int threads) {
  MatmulPlan p;
  p.m = c.size(0);
  p.n = c.size(1);
  p.k = a.size(options.transpose_a ? 0 : 1);
  p.skinny = p.m <= kSkinnyRows && !options.transpose_a && !is_float8(a.dtype);
  if (p.skinny) {
    p.scratch_floats = a.dtype == DType::f32 ? 0 : p.m * p.k;
    return p;
  }
  p.m_parts = parts_of(p.m);
  p.n_parts = parts_of(p.n);
  const auto work = [&] { return static_cast<double>(p.m) * p.n * p.k / (p.m_parts * p.n_parts); };
  while (p.m_parts * p.n_parts < kLeastParts && work() > 2 * kLeastWork) {
    const bool cut_m = p.m / p.m_parts >= p.n / p.n_parts;
    if (std::max(p.m / p.m_parts, p.n / p.n_parts) < 2 * kLeastTile) break;
    (cut_m ? p.m_parts : p.n_parts) *= 2;
  }
  p.m_tile = tile_of(p.m, p.m_parts);
  p.n_tile = tile_of(p.n, p.n_parts);
  const bool in_place = a.dtype == DType::f32 && b.dtype == DType::f32;
  p.k_panel = in_place ? p.k : std::min(p.k, kPanel);
  p.a_floats = a.dtype == DType::f32 ? 0 : p.m_tile * p.k_panel;
  p.b_floats = b.dtype == DType::f32 ? 0 : p.k_panel * p.n_tile;
  p.c_floats = c.dtype == DType::f32 ? 0 : p.m_tile * p.n_tile;
  p.scratch_floats = threads * (p.a_floats + p.b_floats + p.c_floats);
  return p;
}

void matmul(Ctx& ctx, const MatmulPlan& plan, const Tensor& c, const Tensor& a, const Tensor& b,
            const MatmulOptions& options, float* scratch) {
  if (plan.skinny) {
    const Block rows = block_of(a, 0, plan.m, 0, plan.k);
    const bool direct = a.dtype == DType::f32;
    if (!direct) load_block(scratch, plan.k, rows);
    const float* left = direct ? static_cast<const float*>(rows.data) : scratch;
    const int64_t lda = direct ? rows.ld : plan.k;
    const int64_t parts = static_cast<int64_t>(static_cast<double>(plan.m) * plan.n * plan.k / 2e5) + 1;
    const int64_t grain = std::max(kSkinnyColumns, round_up(plan.n / parts, kSkinnyColumns));
    parallel_dynamic(ctx, plan.n, grain,
                     [&](int64_t begin, int64_t end, int) { run_skinny(plan, begin, end, c, b, options, left, lda); });
    return;
  }
  const int64_t floats = plan.a_floats + plan.b_floats + plan.c_floats;
  parallel_dynamic(ctx, plan.m_parts * plan.n_parts, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t im = i % plan.m_parts, in = i / plan.m_parts;
      const Tile tile{cut(plan.m, plan.m_parts, im), cut(plan.m, plan.m_parts, im + 1), cut(plan.n, plan.n_parts, in),
                      cut(plan.n, plan.n_parts, in + 1)};
      if (tile.m < tile.m_end && tile.n < tile.n_end) run_tile(plan, tile, c, a, b, options, scratch + thread * floats);
    }
  });
}

}  // namespace trireme::cpu
