#include "optim/adamw.h"

#include <algorithm>
#include <cmath>

#include "ops/basic.h"

namespace trireme {
namespace {

DType dtype_of(Moments moments) {
  switch (moments) {
    case Moments::float32: return DType::f32;
    case Moments::bfloat16: return DType::bf16;
    default: return DType::u8;
  }
}

Tensor part(const Buffer& buffer, DType dtype, int64_t begin, int64_t n) {
  return buffer.view(dtype, {n}, begin * dtype_size(dtype));
}

}  // namespace

AdamW::AdamW(const ModelLayout& layout, const PrecisionConfig& precision, const OptimizerConfig& config, uint64_t seed,
             Device device)
    : layout_(layout),
      config_(config),
      master_dtype_(precision.master == Master::remainder ? DType::u16 : DType::f32),
      has_master_(precision.param_dtype != DType::f32 && precision.master != Master::none),
      moment_dtype_(dtype_of(config.moments)),
      seed_(seed) {
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int unit = static_cast<int>(u);
    const FlatRange range = layout.optimizer_range(unit);
    const int64_t moments = range.size() * dtype_size(moment_dtype_);
    const size_t before = runs_.size();
    for_each_piece(layout.units[u], range, [&](Param& param, int64_t begin, int64_t flat, int64_t n) {
      if (param.spec.trainable) add_runs(unit, param, begin, flat - range.begin, n);
    });
    const bool scaled = moment_dtype_ == DType::u8 && runs_.size() > before;
    const int64_t scales = scaled ? (runs_.back().block + code_blocks(runs_.back().n)) * dtype_size(DType::f32) : 0;
    states_.push_back(
        {Buffer(cat("exp_avg of unit ", u), device, moments), Buffer(cat("exp_avg_sq of unit ", u), device, moments),
         Buffer(cat("master of unit ", u), device, has_master_ ? range.size() * dtype_size(master_dtype_) : 0),
         Buffer(cat("exp_avg scales of unit ", u), device, scales),
         Buffer(cat("exp_avg_sq scales of unit ", u), device, scales)});
  }
  slices_.reserve(runs_.size());
}

/// Local elements [begin, begin + n) of a parameter, from `at` on in the unit's range, cut where its local boxes are.
void AdamW::add_runs(int unit, Param& param, int64_t begin, int64_t at, int64_t n) {
  const int64_t global_width = param.spec.shape.rank > 1 ? param.spec.shape[1] : 1;
  const int64_t width = param.local_shape.rank > 1 ? param.local_shape[1] : 1;
  const bool by_columns = width != global_width;
  CHECK(!by_columns || param.local_boxes.size() == 1, param.spec.name, " is cut by columns into several boxes");
  int64_t first_row = 0;
  for (const Box& box : param.local_boxes) {
    const int64_t from = std::max(begin, first_row * width);
    const int64_t count = std::min(begin + n, (first_row + box.rows) * width) - from;
    const int64_t row = from / width, col = from % width;
    first_row += box.rows;
    if (count <= 0) continue;
    const int64_t global_row = box.row + row - (first_row - box.rows);
    ElementPositions positions{.first = global_row * global_width + box.col + col};
    if (by_columns)
      positions = {.first = global_row * global_width + box.col, .column = col, .width = width, .stride = global_width};
    const bool same_unit = !runs_.empty() && runs_.back().unit == unit;
    const int64_t block = same_unit ? runs_.back().block + code_blocks(runs_.back().n) : 0;
    runs_.push_back({&param, unit, from, at + from - begin, count, block, positions});
  }
}

void AdamW::reset_master(Ctx& ctx, const ParamStore& params) {
  if (!has_master_) return;
  for (size_t u = 0; u < states_.size(); ++u) {
    const Tensor values = params.optimizer_view(static_cast<int>(u));
    const Buffer& master = states_[u].master;
    if (values.numel() == 0) continue;
    if (master_dtype_ == DType::f32)
      copy(ctx, part(master, DType::f32, 0, values.numel()), values);
    else
      fill_memory(master.device(), master.data(), 0, master.bytes());  // nothing beyond the halves that are there
  }
}

CodedState AdamW::moments_of(const Run& run, bool second) const {
  const State& state = states_[static_cast<size_t>(run.unit)];
  CodedState out;
  out.values = part(second ? state.v : state.m, moment_dtype_, run.at, run.n);
  if (moment_dtype_ != DType::u8) return out;
  out.code = second ? StateCode::roots : StateCode::moments;
  out.companion = part(second ? state.v_scales : state.m_scales, DType::f32, run.block, code_blocks(run.n));
  return out;
}

/// `values`: the unit's optimizer view of the parameters.
AdamWSlice AdamW::slice_of(const Run& run, const Tensor& values) const {
  const Tensor value = values.slice(0, run.at, run.at + run.n);
  const CodedState m = moments_of(run, false), v = moments_of(run, true);
  AdamWSlice slice{.m = m.values, .v = v.values, .m_scales = m.companion, .v_scales = v.companion};
  slice.positions = run.positions;
  if (has_master_) slice.master = part(states_[static_cast<size_t>(run.unit)].master, master_dtype_, run.at, run.n);
  if (value.dtype == DType::f32)
    slice.master = value;
  else
    slice.param = value;
  return slice;
}

void AdamW::update(Ctx& ctx, ParamStore& params, const GradStore& grads, int64_t t, double lr, const Tensor& factor) {
  AdamWArgs args;
  args.lr = static_cast<float>(lr);
  args.beta1 = static_cast<float>(config_.betas[0]);
  args.beta2 = static_cast<float>(config_.betas[1]);
  args.eps = static_cast<float>(config_.eps);
  args.factor = factor;
  args.bias_correction1 = static_cast<float>(1 - std::pow(config_.betas[0], static_cast<double>(t)));
  args.bias_correction2 = static_cast<float>(1 - std::pow(config_.betas[1], static_cast<double>(t)));
  slices_.clear();
  for (const Run& run : runs_) {
    const ParamSpec& spec = run.param->spec;
    AdamWSlice slice = slice_of(run, params.optimizer_view(run.unit));
    slice.grad = grads.optimizer_view(run.unit, run.at, run.n);
    slice.weight_decay = spec.decay ? static_cast<float>(config_.weight_decay) : 0.0F;
    slice.key =
        RandomKey::of(seed_, name_hash(spec.tied_to.empty() ? spec.name : spec.tied_to), static_cast<uint64_t>(t));
    slices_.push_back(slice);
  }
  adamw_update(ctx, slices_, args);
  params.updated();
}

std::vector<AdamW::Piece> AdamW::pieces(const ParamStore& params) const {
  std::vector<Piece> all;
  for (const Run& run : runs_) {
    all.push_back({run.param, "exp_avg", run.param_begin, moments_of(run, false)});
    all.push_back({run.param, "exp_avg_sq", run.param_begin, moments_of(run, true)});
    if (!has_master_) continue;
    const AdamWSlice slice = slice_of(run, params.optimizer_view(run.unit));
    CodedState master{.values = slice.master};
    if (master_dtype_ == DType::u16) master = {StateCode::joined, slice.master, slice.param};
    all.push_back({run.param, "master", run.param_begin, master});
  }
  return all;
}

int64_t AdamW::bytes() const {
  int64_t sum = 0;
  for (const State& s : states_)
    for (const Buffer* buffer : {&s.m, &s.v, &s.master, &s.m_scales, &s.v_scales}) sum += buffer->bytes();
  return sum;
}

}  // namespace trireme
