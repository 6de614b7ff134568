#include "optim/adamw.h"

#include <cmath>

#include "ops/basic.h"

namespace trireme {

AdamW::AdamW(const ModelLayout& layout, DType param_dtype, Device device, const OptimizerConfig& config)
    : layout_(layout), has_master_(param_dtype != DType::f32), config_(config) {
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int64_t bytes = layout.optimizer_range(static_cast<int>(u)).size() * dtype_size(DType::f32);
    states_.push_back({Buffer(cat("exp_avg of unit ", u), device, bytes),
                       Buffer(cat("exp_avg_sq of unit ", u), device, bytes),
                       Buffer(cat("master of unit ", u), device, has_master_ ? bytes : 0)});
    for_each_piece(layout.units[u], layout.optimizer_range(static_cast<int>(u)),
                   [&](Param&, int64_t, int64_t, int64_t) { slices_.emplace_back(); });
  }
}

void AdamW::reset_master(Ctx& ctx, const ParamStore& params) {
  if (!has_master_) return;
  for (size_t u = 0; u < states_.size(); ++u) {
    const Tensor values = params.optimizer_view(static_cast<int>(u));
    if (values.numel() > 0) copy(ctx, view(states_[u].master, 0, values.numel()), values);
  }
}

void AdamW::update(Ctx& ctx, ParamStore& params, const GradStore& grads, int64_t t, double lr, double grad_scale) {
  AdamWArgs args;
  args.lr = static_cast<float>(lr);
  args.beta1 = static_cast<float>(config_.betas[0]);
  args.beta2 = static_cast<float>(config_.betas[1]);
  args.eps = static_cast<float>(config_.eps);
  args.grad_scale = static_cast<float>(grad_scale);
  args.bias_correction1 = static_cast<float>(1 - std::pow(config_.betas[0], static_cast<double>(t)));
  args.bias_correction2 = static_cast<float>(1 - std::pow(config_.betas[1], static_cast<double>(t)));
  slices_.clear();
  for (size_t u = 0; u < states_.size(); ++u) {
    const int unit = static_cast<int>(u);
    const FlatRange range = layout_.optimizer_range(unit);
    const Tensor values = params.optimizer_view(unit), gradients = grads.optimizer_view(unit);
    const State& state = states_[u];
    for_each_piece(layout_.units[u], range, [&](Param& param, int64_t, int64_t flat, int64_t n) {
      if (!param.spec.trainable) return;
      const int64_t begin = flat - range.begin;
      const Tensor p = values.slice(0, begin, begin + n);
      slices_.push_back({.master = has_master_ ? view(state.master, begin, n) : p,
                         .m = view(state.m, begin, n),
                         .v = view(state.v, begin, n),
                         .param = has_master_ ? p : Tensor(),
                         .grad = gradients.slice(0, begin, begin + n),
                         .weight_decay = param.spec.decay ? static_cast<float>(config_.weight_decay) : 0.0F});
    });
  }
  adamw_update(ctx, slices_, args);
  params.updated();
}

std::vector<AdamW::Piece> AdamW::pieces() const {
  std::vector<Piece> all;
  for (size_t u = 0; u < states_.size(); ++u) {
    const FlatRange range = layout_.optimizer_range(static_cast<int>(u));
    for_each_piece(layout_.units[u], range, [&](Param& param, int64_t begin, int64_t flat, int64_t n) {
      if (!param.spec.trainable) return;
      all.push_back({&param, "exp_avg", begin, view(states_[u].m, flat - range.begin, n)});
      all.push_back({&param, "exp_avg_sq", begin, view(states_[u].v, flat - range.begin, n)});
      if (has_master_) all.push_back({&param, "master", begin, view(states_[u].master, flat - range.begin, n)});
    });
  }
  return all;
}

int64_t AdamW::bytes() const {
  int64_t sum = 0;
  for (const State& s : states_) sum += s.m.bytes() + s.v.bytes() + s.master.bytes();
  return sum;
}

double clip_factor(double norm, double max_norm) {
  if (max_norm <= 0) return 1.0;
  const double factor = max_norm / (norm + 1e-6);
  return factor < 1.0 ? factor : 1.0;
}

}  // namespace trireme
