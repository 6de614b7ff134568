// AdamW over this rank's optimizer range of every unit: one state, whatever is sharded. How values and moments are kept
// (config.h: Master, Moments) is decided once, here; the arithmetic is f32 in all cases (ops/optim.h).
#pragma once

#include <string>
#include <vector>

#include "ops/optim.h"
#include "optim/config.h"
#include "params/grad_store.h"

namespace trireme {

class AdamW {
 public:
  /// `seed`: of rounding by chance.
  AdamW(const ModelLayout& layout, const PrecisionConfig& precision, const OptimizerConfig& config, uint64_t seed,
        Device device);

  /// Takes the masters from the parameters: after initialisation, or after loading weights without state.
  void reset_master(Ctx& ctx, const ParamStore& params);

  /// Step t (from 1) with learning rate `lr`; gradients are multiplied by `factor`, (1) f32 where they lie, first.
  /// Where that is NaN, nothing changes. Allocates nothing.
  void update(Ctx& ctx, ParamStore& params, const GradStore& grads, int64_t t, double lr, const Tensor& factor);

  /// One named piece of state: elements [param_begin, param_begin + state.values.numel()) of the parameter's local
  /// values.
  struct Piece {
    const Param* param = nullptr;
    const char* kind = "";  // "exp_avg", "exp_avg_sq", "master"
    int64_t param_begin = 0;
    CodedState state;
  };
  /// `params`: the halves of joined masters are there.
  std::vector<Piece> pieces(const ParamStore& params) const;

  int64_t bytes() const;

 private:
  struct State {
    Buffer m, v, master, m_scales, v_scales;
  };
  /// Elements of one parameter that follow each other in this rank's memory and within one of its local boxes.
  struct Run {
    Param* param;
    int unit;
    int64_t param_begin;  // of the parameter's local elements
    int64_t at;           // of the unit's optimizer range
    int64_t n;
    int64_t block;  // of the unit's scales
    ElementPositions positions;
  };
  void add_runs(int unit, Param& param, int64_t begin, int64_t at, int64_t n);
  AdamWSlice slice_of(const Run& run, const Tensor& values) const;
  CodedState moments_of(const Run& run, bool second) const;

  const ModelLayout& layout_;
  OptimizerConfig config_;
  DType master_dtype_;  // f32; u16: low halves; of no bytes where there is none
  bool has_master_;
  DType moment_dtype_;
  uint64_t seed_;
  std::vector<State> states_;       // by unit
  std::vector<Run> runs_;           // in the order of memory
  std::vector<AdamWSlice> slices_;  // of an update; kept for its memory
};

}  // namespace trireme
