#include "train/engine.h"

#include <cmath>
#include <vector>

#include "base/strings.h"
#include "params/init.h"

namespace trireme {
namespace {

Model make_model(const EngineConfig& c, Group& tp) {
  BuildOptions options;
  options.recompute_cheap = c.memory.recompute == Recompute::cheap;
  options.positions = c.sequence_length;
  return build_model(c.model, tp, options);
}

ModelLayout make_layout(Model& model, const EngineConfig& c, const Groups& groups) {
  if (c.zero_stage >= 2 && groups.pp->size() > 1)
    throw ConfigError(
        cat("parallel.zero_stage=", c.zero_stage, " with parallel.pipeline=", groups.pp->size(),
            " is not supported: gradients of a pipeline stage are summed once a step; use zero_stage 0 or 1"));
  const StageRange stage = StageRange::of(model.num_units(), groups.pp->size(), groups.pp->rank());
  return {model.params, model.num_units(), stage.first, stage.end_with_head(), *groups.dp, c.zero_stage};
}

RunnerOptions runner_options(const EngineConfig& c) {
  return {.recompute = c.memory.recompute,
          .activation_dtype = c.precision.param_dtype,
          .tokens = c.tokens(),
          .micro_batches = c.micro_batches,
          .seed = c.seed};
}

MemoryPlan make_memory_plan(Model& model, const ModelLayout& layout, const EngineConfig& c, const Groups& groups,
                            ThreadPool& pool) {
  std::vector<Segment> segments(static_cast<size_t>(c.micro_batch_size));
  for (int64_t b = 0; b < c.micro_batch_size; ++b) {
    const int32_t begin = static_cast<int32_t>(b * c.sequence_length), length = static_cast<int32_t>(c.sequence_length);
    segments[static_cast<size_t>(b)] = {begin, length, begin, length, 0, 0};
  }
  const Plan step = make_plan(model, layout, groups, runner_options(c), c.precision.param_dtype, pool, segments);
  MemoryPlan plan;
  plan.parameters = step.parameter_bytes;
  plan.gradients = step.gradient_bytes;
  if (c.micro_batches > 0) plan.optimizer = AdamW(layout, c.precision.param_dtype, kMeta, c.optimizer).bytes();
  plan.arenas = step.arenas;
  plan.step = step.step;
  plan.model_flops = step.model_flops;
  plan.num_parameters = count_parameters(model.params);
  return plan;
}

}  // namespace

std::string MemoryPlan::str() const {
  const auto row = [](const std::string& name, int64_t bytes, const std::string& note) {
    std::string line = "  " + name;
    line.resize(26, ' ');
    std::string size = human_bytes(static_cast<double>(bytes));
    line += std::string(size.size() < 12 ? 12 - size.size() : 0, ' ') + size;
    return line + (note.empty() ? "" : "   " + note) + "\n";
  };
  int64_t keep = 0;
  for (const int64_t k : arenas.keep) keep += k;
  return "plan of a rank\n" +
         row("parameters", parameters, human_count(static_cast<double>(num_parameters)) + " in the whole model") +
         row("gradients", gradients, "") + row("optimizer state", optimizer, "") +
         row("activations kept", keep,
             cat(arenas.keep.size(), " micro-batch", arenas.keep.size() == 1 ? "" : "es", " in flight")) +
         row("recompute, evaluation", arenas.rebuild, "") + row("scratch", arenas.temp, "") +
         row("between units", arenas.carry, "") +
         row("total", total(), cat(number(step.flops / 1e9, 4), " GFLOP a step"));
}

MemoryPlan Engine::plan(const EngineConfig& config, const Groups& groups, ThreadPool& pool) {
  Model model = make_model(config, *groups.tp);
  const ModelLayout layout = make_layout(model, config, groups);
  return make_memory_plan(model, layout, config, groups, pool);
}

Engine::Engine(const EngineConfig& config, const Groups& groups, ThreadPool& pool)
    : config_(config), groups_(groups), pool_(pool), model_(make_model(config, *groups.tp)) {
  layout_.emplace(make_layout(model_, config, groups));
  plan_ = make_memory_plan(model_, *layout_, config, groups, pool);
  params_.emplace(model_.params, *layout_, config.precision.param_dtype, kCpu, *groups.dp);
  if (config.micro_batches > 0) {
    grads_.emplace(model_.params, *layout_, kCpu, groups);
    optimizer_.emplace(*layout_, config.precision.param_dtype, kCpu, config.optimizer);
  }
  runner_.emplace(model_, *params_, grads_ ? &*grads_ : nullptr, groups, runner_options(config), pool, &plan_.arenas);
}

void Engine::initialise() {
  params_->assign([&](Param& param) { init_param(param, config_.seed, pool_); });
  weights_changed();
}

void Engine::weights_changed() {
  if (optimizer_) optimizer_->reset_master(runner_->ctx(), *params_);
}

double Engine::forward_backward(std::span<const Batch> batches, int64_t step) {
  const double loss = runner_->step(batches, step);
  if (!std::isfinite(loss)) explain(batches, step, cat("the loss is ", loss));
  return loss;
}

double Engine::gradient_norm(std::span<const Batch> batches, int64_t step) {
  const double norm = std::sqrt(grads_->global_sum_squares(runner_->ctx()));
  if (!std::isfinite(norm)) explain(batches, step, cat("the gradient norm is ", norm));
  return norm;
}

void Engine::update(int64_t step, double lr, double norm) {
  optimizer_->update(runner_->ctx(), *params_, *grads_, step + 1, lr,
                     clip_factor(norm, config_.optimizer.clip_grad_norm));
}

/// Runs the step again with every op's output checked: the first bad one names itself.
void Engine::explain(std::span<const Batch> batches, int64_t step, const std::string& what) {
  const std::string where = cat("step ", step + 1, ": ", what, "; ");
  const std::string advice =
      ". The weights are as before this step. Lower optimizer.lr, lengthen schedule.warmup or look at the data";
  const Param* gradient = grads_->find_nonfinite(runner_->ctx());
  runner_->set_check_finite(true);
  try {
    runner_->step(batches, step);
  } catch (const NumericError& e) {
    throw NumericError(cat(where, e.what(), advice));
  }
  throw NumericError(cat(where,
                         gradient != nullptr ? cat("first bad tensor: the gradient of ", gradient->spec.name)
                                             : "it came from another rank",
                         advice));
}

int64_t Engine::allocated_bytes() const {
  return params_->bytes() + (grads_ ? grads_->bytes() + optimizer_->bytes() : 0) + plan_.arenas.total();
}

}  // namespace trireme
