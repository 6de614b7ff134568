// Products with few rows on the left, as in decoding: the right side is read once, in its storage type, at the
// speed of memory.
#pragma once

#include "ops/cpu/convert.h"

namespace trireme::cpu {

constexpr int64_t kSkinnyRows = 8;  // more rows are better off with sgemm

/// c (m, n) = alpha * a (m, k) . b, f32 but for b: (n, k) if `transposed`, else (k, n). On the calling thread. Each
/// value of c depends on its own row of a and column of b only, not on how n is split.
struct SkinnyProduct {
  int64_t m = 0, n = 0, k = 0;
  float alpha = 1;
  const float* a = nullptr;
  int64_t lda = 0;
  const void* b = nullptr;
  DType b_dtype = DType::f32;
  int64_t ldb = 0;
  bool transposed = false;
  float* c = nullptr;
  int64_t ldc = 0;
};

void skinny_product(const SkinnyProduct& s);

}  // namespace trireme::cpu
