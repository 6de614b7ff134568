// CUDA kernels of attention for one new token a sequence; the contract is in ops/attention.h.
#pragma once

#include "ops/attention.h"

namespace trireme::cuda {

/// Parts that the keys of a sequence are cut into, whatever their number: for each a sum of values (D), its weight and
/// the largest score.
constexpr int64_t kDecodeParts = 16;

inline Shape decode_scratch(const Tensor& q) { return {q.size(0), q.size(1), kDecodeParts, q.size(2) + 2}; }

/// `scratch`: (decode_scratch) f32. Where nothing is trained, args.positions and args.cache_rows are read while kernels
/// launched before still run: they must have been there when the first of these began, after a copy for example.
void decode_attention(Ctx& ctx, const Tensor& o, const Tensor& q, const Tensor& k, const Tensor& v, const KvView& cache,
                      const DecodeArgs& args, const Tensor& scratch);

}  // namespace trireme::cuda
