// y = x W^T + b, whole or split over the tensor-parallel ranks. This is the only place, with embedding and head, that
// knows of tensor parallelism (Shoeybi et al., Megatron-LM, 2019).
#pragma once

#include "base/thread_pool.h"
#include "layers/groups.h"
#include "ops/float8.h"
#include "ops/norm.h"
#include "params/spec.h"

namespace trireme {

/// column: each rank computes its share of the outputs from the whole input. row: each rank holds its share of the
/// inputs and the outputs are summed; the first rank alone adds the bias, so that the sum holds it once. Under sequence
/// parallelism the rows are gathered in front of a column layer and scattered behind a row layer.
enum class LinearKind : uint8_t { column, row };

struct LinearConfig {
  int64_t in = 0, out = 0;  // global
  LinearKind kind = LinearKind::column;
  bool bias = false;
  std::vector<int64_t> chunks;  // of the outputs (column kind), each split on its own
  int64_t pieces = 0;           // of each chunk, or of the inputs (row kind), as in Split
  std::vector<int64_t> parts;   // of the pieces, as in Split
  float init_std = 0.02F;
  bool sums_bias = true;  // backward adds to the bias's gradient; else whoever has the sum of dy's rows does
  bool float8 = false;    // products of 8-bit floats: e4m3, gradients of y e5m2
};

/// What x of a row layer is the activation of, for its backward; at most one of the two.
struct BeforeActivation {
  const Tensor* gelu = nullptr;    // dx is the gradient of this; its rows' sum is
  Tensor bias_gradient;            // added to that of a bias in front of GELU, (local_in) f32, where defined
  const Tensor* swiglu = nullptr;  // this becomes its own gradient, and dx is scratch
};

/// What comes along with the product of forward(); nothing with float8.
struct BesideLinear {
  const Tensor* before_gelu = nullptr;  // column kind: y is GELU of what it would have been, which goes here
  const Tensor* swiglu = nullptr;       // column kind: SwiGLU of y goes here
  const Tensor* residual = nullptr;     // (N, local_out), added to y; a rank alone
  const NormArgs* norm = nullptr;       // column kind: of x; a rank alone
};

class Linear {
 public:
  /// Declares `<name>.weight` (out, in) and `<name>.bias` (out).
  Linear(const ParamBuilder& params, const std::string& name, const LinearConfig& config, const LayerGroups& groups);

  int64_t local_in() const { return weight_.local_shape[1]; }
  int64_t local_out() const { return weight_.local_shape[0]; }

  /// (local_out) f32; undefined where there is no bias, or it is not trained.
  Tensor bias_gradient() const { return bias_ != nullptr ? bias_->grad : Tensor(); }

  /// What backward needs of x where products are of 8-bit floats; else nothing.
  using Saved = Float8;

  /// y (N, local_out), written, from x (N, local_in): of a column layer's x and a row layer's y, N are the own rows.
  /// `saved`, where not null, is filled from ctx.keep.
  void forward(Ctx& ctx, Tensor y, const Measured& x, Saved* saved = nullptr, const BesideLinear& beside = {}) const;
  /// dx (N, local_in), written; may be undefined. Adds to the gradients of weight and, with sums_bias, bias. x is not
  /// read where `saved` holds it. `before`: not with float8.
  void backward(Ctx& ctx, Tensor dx, const Measured& dy, const Measured& x, const Saved& saved = {},
                const BeforeActivation& before = {}) const;
  /// The same (not with float8) where x is made again: make_x() is called once dx, in whose place x may lie, is there.
  void backward_making_x(Ctx& ctx, Tensor dx, const Tensor& dy, FunctionRef<Tensor()> make_x) const;

 private:
  Measured whole(Ctx& ctx, const Measured& x) const;
  Measured rows_of(Ctx& ctx, const Measured& dy) const;
  Measured measured_weight(Ctx& ctx) const;
  void add_gradient(Ctx& ctx, const Tensor& dy_rows, const Tensor& x) const;
  void put_dx(Ctx& ctx, Tensor dx, const Tensor& dy_rows, const BeforeActivation& before) const;
  void backward8(Ctx& ctx, Tensor dx, const Measured& dy, const Measured& x, const Saved& saved) const;

  Param& weight_;
  Param* bias_ = nullptr;
  LayerGroups groups_;
  LinearKind kind_;
  bool sums_bias_, float8_;
};

}  // namespace trireme
