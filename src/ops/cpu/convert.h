// Blocks of a matrix between storage types and f32 scratch.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace trireme::cpu {

/// A block of `rows` x `cols` elements in memory, rows `ld` elements apart.
struct Block {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t ld = 0;
  int64_t rows = 0, cols = 0;
};

/// to (rows `ld` apart) = factor * from.
void load_block(float* to, int64_t ld, const Block& from, float factor = 1);
/// to = from (rows `ld` apart), rounded to nearest even.
void store_block(const Block& to, const float* from, int64_t ld);

}  // namespace trireme::cpu
