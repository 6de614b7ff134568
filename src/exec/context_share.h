// Deals the tokens of a micro-batch to the context ranks: 2 * ranks chunks a sample, of which each rank gets one from
// the front and one from the back. So all have equally many (query, key) pairs of a causal mask. Where sizes do not
// come out even, samples are padded with tokens that weigh nothing. Memory is taken once.
#pragma once

#include <span>
#include <vector>

#include "comm/group.h"
#include "tensor/batch.h"
#include "tensor/buffer.h"

namespace trireme {

struct ContextShape {
  int64_t samples = 0, length = 0;  // of a micro-batch: B and T
  int rank = 0, ranks = 1;
  int64_t multiple = 1;  // of which a rank's tokens must be one: the tensor ranks that share them (sequence parallel)

  /// Tokens of a sample with its padding.
  int64_t padded_length() const;
  int64_t chunk() const { return padded_length() / (2 * ranks); }
  int64_t tokens() const { return samples * padded_length() / ranks; }  // of this rank
  /// Whether a rank's tokens are those of the micro-batch as it comes.
  bool whole() const { return ranks == 1 && padded_length() == length; }
};

/// This rank's tokens of micro-batches that every context rank is given whole.
class ContextDealer {
 public:
  /// Room for `micro_batches` at a time. On the meta device nothing is allocated and batches have shapes only.
  ContextDealer(const ContextShape& shape, int micro_batches, Device device);

  /// Batches of shape.tokens() tokens; of several ranks, rows and segments as ContextShare says. Valid until the next
  /// call. One rank without padding gets the batches themselves. A segment must lie within a sample; the last one of a
  /// sample takes the padding in.
  std::span<const Batch> deal(std::span<const Batch> whole);

  int64_t bytes() const { return memory_.bytes(); }

 private:
  int64_t rows_of_half() const { return shape_.tokens() / 2; }
  void copy_rows(const Tensor& to, const Tensor& from) const;
  Segment padded(Segment s) const;
  std::span<const Segment> cut_segments(std::span<const Segment> whole, int64_t half, Segment* out) const;

  ContextShape shape_;
  Buffer memory_;
  std::vector<Batch> batches_;
  std::vector<Segment*> segments_;  // by micro-batch: room for both halves, one segment a token at most
};

}  // namespace trireme
