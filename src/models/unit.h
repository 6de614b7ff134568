// A model is a list of units: embedding, blocks, head. A unit is what the runner gathers, recomputes, sends to the next
// pipeline stage. Units hold mathematics; they know nothing of ranks, slots' memory or the order of a step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "params/spec.h"
#include "tensor/batch.h"
#include "tensor/buffer.h"
#include "tensor/ctx.h"

namespace trireme {

/// The boundary between units: the residual stream is residual + delta, added by the next unit's first norm. (N, C)
/// both; an undefined delta means none. What a unit is to write may be `summed`: delta then gets the sum of both, and
/// the residual is the unit's own. The bits are the same, but for roundings that a GPU leaves out.
struct Stream {
  Tensor residual, delta;
  bool summed = false;

  /// What the next unit reads of a stream that has been written.
  Stream written() const { return summed ? Stream{delta, {}} : *this; }
};

/// Embedding or block.
class Unit {
 public:
  virtual ~Unit() = default;

  /// Whether summing its stream costs the unit less than it costs the next one's norm: it may be asked to then.
  virtual bool sums(const Ctx&, const Batch&) const { return false; }

  /// Prepares `slots` places for saved state: one for each micro-batch in flight.
  virtual void set_slots(int slots) = 0;

  /// Writes `out`. x (N, C) is written with in.residual + in.delta, the unit's input; it is undefined where in.delta
  /// is, and the input is in.residual. What backward needs comes from ctx.keep and is remembered under `slot`. An
  /// undefined out.delta asks only for what backward needs.
  virtual void forward(Ctx& ctx, const Batch& batch, int slot, const Stream& in, Tensor x, const Stream& out) = 0;

  /// g (N, C), in place: from the gradient of the unit's output to that of its input. Adds to the parameters'
  /// gradients.
  virtual void backward(Ctx& ctx, const Batch& batch, int slot, Tensor g) = 0;
};

/// Final norm, projection, loss.
class HeadUnit {
 public:
  virtual ~HeadUnit() = default;

  /// Adds sum(weight * loss) over the batch to sum (1) f64. g, where defined, is written with the gradient of the
  /// stream for the loss ctx.loss_scale * sum(weight * loss) / batch.total_weight, and gradients are added to. Saved
  /// state uses ctx.keep until return.
  virtual void loss(Ctx& ctx, const Batch& batch, Tensor sum, Tensor g, const Stream& in) = 0;

  /// out (M, V) f32 = logits of the rows of `in`, which holds M rows.
  virtual void logits(Ctx& ctx, Tensor out, const Stream& in) = 0;
};

struct Model {
  ParamTable params;
  std::vector<std::unique_ptr<Unit>> units;  // embedding, blocks
  std::unique_ptr<HeadUnit> head;            // its parameters belong to unit units.size()
  Buffer rope_table;
  int64_t hidden_size = 0, vocab_size = 0;

  int num_units() const { return static_cast<int>(units.size()) + 1; }
};

}  // namespace trireme
