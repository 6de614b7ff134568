// The state hash: a sum modulo 2^128 over every element of every tensor of key(tensor, index) * value(bits), the key a
// 64-bit mix of name, dtype, global shape and row-major global index, the product 128 bits wide. Boxes of a tensor add
// up to the whole however it is cut, in any order. Keys of one tensor differ and distinct bits give distinct values, so
// one changed element, or two swapped ones, always change the sum (but for the one index in 2^64 whose key is 0).
// Multilinear hashing: Lemire and Kaser, "Strongly universal string hashing is fast", 2014.
#pragma once

#include <string_view>

#include "base/hash.h"
#include "base/thread_pool.h"
#include "params/spec.h"

namespace trireme {

/// What `part` adds to the hash as the box `box` of tensor `name` of global `shape`. CPU; rank 1 or 2 with any strides,
/// or any rank where contiguous.
Hash128 hash_box(std::string_view name, const Shape& shape, const Box& box, const Tensor& part, ThreadPool* pool);

/// A whole tensor.
Hash128 hash_tensor(std::string_view name, const Tensor& tensor, ThreadPool* pool);

/// Text that belongs to the state: its bytes as a tensor.
Hash128 hash_text(std::string_view name, std::string_view text);

}  // namespace trireme
