// AdamW over this rank's optimizer range of every unit: one state, whatever is sharded. State is f32; where parameters
// are stored in 16 bits, an f32 master is part of it.
#pragma once

#include <string>
#include <vector>

#include "ops/optim.h"
#include "optim/config.h"
#include "params/grad_store.h"

namespace trireme {

class AdamW {
 public:
  AdamW(const ModelLayout& layout, DType param_dtype, Device device, const OptimizerConfig& config);

  /// Takes the masters from the parameters: after initialisation, or after loading weights without state.
  void reset_master(Ctx& ctx, const ParamStore& params);

  /// Step t (from 1) with learning rate `lr`; gradients are multiplied by `grad_scale` first. Allocates nothing.
  void update(Ctx& ctx, ParamStore& params, const GradStore& grads, int64_t t, double lr, double grad_scale);

  /// One named piece of state: elements [param_begin, param_begin + values.numel()) of the parameter's local values.
  struct Piece {
    const Param* param = nullptr;
    const char* kind = "";  // "exp_avg", "exp_avg_sq", "master"
    int64_t param_begin = 0;
    Tensor values;
  };
  std::vector<Piece> pieces() const;

  int64_t bytes() const;

 private:
  struct State {
    Buffer m, v, master;
  };
  Tensor view(const Buffer& buffer, int64_t begin, int64_t n) const {
    return buffer.view(DType::f32, {n}, begin * dtype_size(DType::f32));
  }
  const ModelLayout& layout_;
  bool has_master_;
  OptimizerConfig config_;
  std::vector<State> states_;       // by unit
  std::vector<AdamWSlice> slices_;  // of an update; kept for its memory
};

/// min(1, max_norm / (norm + 1e-6)), PyTorch's form: what gradients are multiplied by. max_norm 0: no clipping.
double clip_factor(double norm, double max_norm);

}  // namespace trireme
