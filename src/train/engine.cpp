#include "train/engine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/strings.h"
#include "ops/matmul.h"
#include "params/init.h"
#include "train/layout_rules.h"
#include "train/memory_check.h"
#include "train/state.h"

namespace trireme {
namespace {

/// Stages of this pipeline rank: without a pipeline there is nobody to take turns with.
int chunks(const EngineConfig& c, const Groups& groups) { return groups.pp->size() > 1 ? c.virtual_pipeline : 1; }

ContextShape context_shape(const EngineConfig& c, const Groups& groups) {
  return {c.micro_batch_size, c.sequence_length, groups.cp->rank(), groups.cp->size(),
          c.sequence_parallel ? groups.tp->size() : 1};
}

void require_layout(const EngineConfig& c, const Groups& groups) {
  LayoutFacts facts{.parallel = {}, .model = &c.model};
  facts.parallel = {.data = groups.dp->size(),
                    .tensor = groups.tp->size(),
                    .pipeline = groups.pp->size(),
                    .virtual_pipeline = chunks(c, groups),
                    .context = groups.cp->size(),
                    .zero_stage = c.zero_stage,
                    .sequence_parallel = c.sequence_parallel};
  const std::vector<std::string> problems = layout_problems(facts);
  if (!problems.empty()) throw ConfigError(problems[0]);
  for (const std::string& problem : {float8_problem(c.precision, context_shape(c, groups).tokens()),
                                     grad_dtype_problem(c.precision, facts.parallel)})
    if (!problem.empty()) throw ConfigError(problem);
}

/// `device`: of the tables beside the parameters; a plan leaves them on the CPU.
Model make_model(const EngineConfig& c, const Groups& groups, Device device) {
  require_layout(c, groups);
  BuildOptions options;
  const RecomputeSplit recompute = c.recompute();
  options.cheap_begin = recompute.block;
  options.cheap_end = recompute.block + recompute.cheap;
  options.activation_end = options.cheap_end + recompute.activation;
  options.float8 = c.precision.linear_dtype == LinearDtype::float8;
  options.positions = c.sequence_length;
  options.device = device;
  return build_model(c.model, LayerGroups(*groups.tp, *groups.cp, c.sequence_parallel), options);
}

ModelLayout make_layout(Model& model, const EngineConfig& c, const Groups& groups) {
  std::vector<UnitRange> held;
  for (const StageRange& stage :
       StageRange::of(model.num_units(), {groups.pp->size(), chunks(c, groups)}, groups.pp->rank()))
    held.push_back(stage.held());
  return {model.params, model.num_units(), held, *groups.dp_cp, c.zero_stage};
}

/// Room for the micro-batches of a step, or for the one of an evaluation.
ContextDealer make_dealer(const EngineConfig& c, const Groups& groups, Device device) {
  return {context_shape(c, groups), std::max(c.micro_batches, 1), device};
}

RunnerOptions runner_options(const EngineConfig& c, const Groups& groups, CudaContext* cuda) {
  const int64_t tokens = context_shape(c, groups).tokens();
  return {.recompute = c.recompute(),
          .activation_dtype = c.precision.param_dtype,
          .tokens = tokens,
          .stream_rows = c.sequence_parallel ? tokens / groups.tp->size() : tokens,
          .micro_batches = c.micro_batches,
          .chunks = chunks(c, groups),
          .seed = c.seed,
          .device = c.device,
          .cuda = cuda,
          .deterministic = c.deterministic};
}

/// Micro-batches that are on a GPU at once: those of a step, or the one of an evaluation.
DeviceBatches make_device_batches(const EngineConfig& c, const Groups& groups, Device device) {
  return {device, std::max(1, c.micro_batches), context_shape(c, groups).tokens()};
}

/// Calls fn with a micro-batch of this rank for planning: meta tensors, one segment a sample.
template <class Fn>
auto with_planned_batch(const EngineConfig& c, const Groups& groups, Fn fn) {
  std::vector<Segment> segments;
  for (int64_t b = 0; b < c.micro_batch_size; ++b) {
    const int32_t begin = static_cast<int32_t>(b * c.sequence_length), length = static_cast<int32_t>(c.sequence_length);
    segments.push_back({begin, length, begin, length, 0, 0});
  }
  Buffer zeros("planned batch", kCpu, c.tokens() * dtype_size(DType::i64));
  Batch whole;
  whole.tokens = whole.targets = whole.positions = zeros.view(DType::i32, {c.tokens()});
  whole.weights = zeros.view(DType::f32, {c.tokens()});
  whole.sample_ids = zeros.view(DType::i64, {c.tokens()});
  whole.segments = segments;
  ContextDealer dealer(context_shape(c, groups), 1, kCpu);
  Batch own = dealer.deal(std::span(&whole, 1))[0];
  for (Tensor* t : {&own.tokens, &own.targets, &own.positions, &own.weights, &own.sample_ids})
    *t = Tensor(nullptr, t->dtype, kMeta, t->shape);
  return fn(own);
}

/// Bytes of the copy from which a checkpoint of this rank is written.
int64_t planned_copy(Model& model, const ModelLayout& layout, const EngineConfig& c, const Groups& groups) {
  const ParamStore params(model.params, layout, c.precision.param_dtype, kMeta, *groups.dp_cp);
  const AdamW optimizer(layout, c.precision, c.optimizer, c.seed, kMeta);
  return copy_bytes(rank_state(layout, params, optimizer));
}

MemoryPlan make_memory_plan(Model& model, const ModelLayout& layout, const EngineConfig& c, const Groups& groups,
                            ThreadPool& pool, CudaContext* cuda = nullptr) {
  const Plan step = with_planned_batch(c, groups, [&](const Batch& batch) {
    const StoreTypes types{c.precision.param_dtype, c.precision.grad_dtype};
    return make_plan(model, layout, groups, runner_options(c, groups, cuda), types, pool, batch);
  });
  MemoryPlan plan;
  plan.parameters = step.parameter_bytes;
  plan.gradients = step.gradient_bytes;
  if (c.micro_batches > 0) plan.optimizer = AdamW(layout, c.precision, c.optimizer, c.seed, kMeta).bytes();
  plan.batches = make_dealer(c, groups, kMeta).bytes();
  if (c.copies_to_save && c.micro_batches > 0) plan.save_copy = planned_copy(model, layout, c, groups);
  if (c.device != kCpu) plan.batches += make_device_batches(c, groups, kMeta).bytes();
  plan.arenas = step.arenas;
  plan.step_flops = step.step_flops;
  plan.model_flops = step.model_flops;
  plan.num_parameters = count_parameters(model.params);
  plan.recompute = c.recompute();
  return plan;
}

std::string recompute_note(const RecomputeSplit& split) {
  std::string note;
  int64_t begin = 0;
  const auto add = [&](const char* before, int64_t blocks, const char* behind) {
    if (blocks > 0) note += cat(note.empty() ? "" : ", ", before, begin, " to ", begin + blocks - 1, behind);
    begin += blocks;
  };
  add("blocks ", split.block, " run again");
  add("norms and activations of blocks ", split.cheap, " made again");
  add("activations of blocks ", split.activation, " made again");
  return note;
}

}  // namespace

RecomputeSplit EngineConfig::recompute() const {
  switch (memory.recompute) {
    case Recompute::none: return {};
    case Recompute::cheap: return {.cheap = model.num_hidden_layers};
    case Recompute::block: return {.block = model.num_hidden_layers};
    case Recompute::automatic: break;
  }
  return split;
}

std::string MemoryPlan::str() const {
  const auto row = [](const std::string& name, int64_t bytes, const std::string& note) {
    std::string line = "  " + name;
    line.resize(26, ' ');
    std::string size = human_bytes(static_cast<double>(bytes));
    line += std::string(size.size() < 12 ? 12 - size.size() : 0, ' ') + size;
    return line + (note.empty() ? "" : "   " + note) + "\n";
  };
  const std::string again = recompute_note(recompute);
  int64_t keep = 0;
  for (const int64_t k : arenas.keep) keep += k;
  return "plan of a rank\n" +
         row("parameters", parameters, human_count(static_cast<double>(num_parameters)) + " in the whole model") +
         row("gradients", gradients, "") + row("optimizer state", optimizer, "") +
         (batches > 0 ? row("copies of tokens", batches, "") : "") +
         (save_copy > 0 ? row("copy to be saved", save_copy, "") : "") +
         row("activations kept", keep,
             cat(arenas.keep.size(), " micro-batch", arenas.keep.size() == 1 ? "" : "es", " in flight")) +
         (arenas.rebuild > 0 || !again.empty()
              ? row(arenas.keep.empty() ? "evaluation" : "recompute", arenas.rebuild, again)
              : "") +
         row("scratch", arenas.temp, "") + row("between units", arenas.carry, "") +
         row("total", total(), cat(number(step_flops / 1e9, 4), " GFLOP a step"));
}

MemoryPlan Engine::plan(const EngineConfig& config, const Groups& groups, ThreadPool& pool) {
  Model model = make_model(config, groups, kCpu);
  const ModelLayout layout = make_layout(model, config, groups);
  return make_memory_plan(model, layout, config, groups, pool);
}

Engine::Engine(const EngineConfig& config, const Groups& groups, ThreadPool& pool)
    : config_(config),
      groups_(groups),
      pool_(pool),
      cuda_(make_cuda_context(config.device, config.gpu)),
      scaler_(config.precision) {
  set_tf32(cuda_.get(), config_.precision.tf32);
  if (config_.memory.recompute == Recompute::automatic && config_.device.kind == DeviceKind::cuda)
    config_.split = least_recompute(config_, groups, pool, usable_gpu_memory(config_.device));
  model_ = make_model(config_, groups, config_.device);
  layout_.emplace(make_layout(model_, config_, groups));
  plan_ = make_memory_plan(model_, *layout_, config_, groups, pool);
  if (config_.device.kind == DeviceKind::cuda) {
    require_gpu_memory(config_, groups, pool, plan_);
    make_memory_plan(model_, *layout_, config_, groups, pool, cuda_.get());  // builds cuDNN's graphs, before any step
  }
  params_.emplace(model_.params, *layout_, config_.precision.param_dtype, config_.device, *groups.dp_cp, groups.fetch);
  if (config_.micro_batches > 0) {
    grads_.emplace(model_.params, *layout_, config_.device, groups, config_.precision.grad_dtype);
    optimizer_.emplace(*layout_, config_.precision, config_.optimizer, config_.seed, config_.device);
  }
  dealer_.emplace(make_dealer(config_, groups, kCpu));
  batches_ = make_device_batches(config_, groups, config_.device);
  runner_.emplace(model_, *params_, grads_ ? &*grads_ : nullptr, groups, runner_options(config_, groups, cuda_.get()),
                  pool, &plan_.arenas);
}

void Engine::initialise() {
  params_->assign([&](Param& param) { init_param(param, config_.seed, pool_); });
  weights_changed();
}

void Engine::weights_changed() {
  if (optimizer_) optimizer_->reset_master(runner_->ctx(), *params_);
}

/// This rank's tokens of the batches, where they are worked on.
std::span<const Batch> Engine::own_batches(std::span<const Batch> batches) {
  return batches_.upload(dealer_->deal(batches));
}

Engine::StepResult Engine::train(std::span<const Batch> batches, int64_t step, double lr) {
  ask_gradients(batches, step);
  ask_norm();
  StepResult result;
  const auto look = [&] { result = {loss(batches, step), norm(batches, step)}; };
  if (scaler_.active()) look();
  update(step, lr);
  if (!scaler_.active()) look();  // a step with a bad one has changed nothing
  return result;
}

double Engine::forward_backward(std::span<const Batch> batches, int64_t step) {
  ask_gradients(batches, step);
  return loss(batches, step);
}

double Engine::gradient_norm(std::span<const Batch> batches, int64_t step) {
  ask_norm();
  return norm(batches, step);
}

void Engine::ask_gradients(std::span<const Batch> batches, int64_t step) {
  runner_->set_loss_scale(scaler_.scale());
  runner_->step(own_batches(batches), step);
}

double Engine::loss(std::span<const Batch> batches, int64_t step) {
  const double loss = runner_->loss_sum().item() / batches[0].total_weight;
  overflow_ = !std::isfinite(loss);
  if (overflow_ && !scaler_.active()) explain(batches, step, cat("the loss is ", loss));
  return loss;
}

void Engine::ask_norm() { grads_->global_sum_squares(runner_->ctx(), runner_->squares()); }

double Engine::evaluate(const Batch& batch) {
  const double own = runner_->evaluate(own_batches(std::span(&batch, 1))[0]);
  return groups_.cp->all_reduce(own, ReduceOp::sum);
}

double Engine::norm(std::span<const Batch> batches, int64_t step) {
  double norm = std::sqrt(runner_->squares().item()) / scaler_.scale();
  if (overflow_) norm = std::numeric_limits<double>::quiet_NaN();
  overflow_ = !std::isfinite(norm);
  if (!overflow_) return norm;
  if (!scaler_.active()) explain(batches, step, cat("the gradient norm is ", norm));
  if (const std::string why = scaler_.exhausted(); !why.empty()) explain(batches, step, why);
  return norm;
}

void Engine::update(int64_t step, double lr) {
  Ctx& ctx = runner_->ctx();
  clip_factor(ctx, runner_->clip_factor(), runner_->squares(), runner_->loss_sum(),
              {.max_norm = config_.optimizer.clip_grad_norm, .loss_scale = scaler_.scale()});
  if (!(scaler_.active() && overflow_))
    optimizer_->update(ctx, *params_, *grads_, step + 1 - scaler_.skipped(), lr, runner_->clip_factor());
  scaler_.update(overflow_);
}

/// Runs the step again with every op's output checked: the first bad one names itself.
void Engine::explain(std::span<const Batch> batches, int64_t step, const std::string& what) {
  const std::string where = cat("step ", step + 1, ": ", what, "; ");
  const std::string advice =
      cat(". The weights are as before this step. Lower optimizer.lr, lengthen schedule.warmup, ",
          scaler_.active() ? "train with precision.param_dtype=bfloat16 " : "", "or look at the data");
  const Param* gradient = grads_->find_nonfinite(runner_->ctx());
  runner_->set_check_finite(true);
  try {
    runner_->step(own_batches(batches), step);
  } catch (const NumericError& e) {
    throw NumericError(cat(where, e.what(), advice));
  }
  throw NumericError(cat(where,
                         gradient != nullptr ? cat("first bad tensor: the gradient of ", gradient->spec.name)
                                             : "it came from another rank",
                         advice));
}

int64_t Engine::allocated_bytes() const {
  return params_->bytes() + (grads_ ? grads_->bytes() + optimizer_->bytes() : 0) + dealer_->bytes() + batches_.bytes() +
         plan_.arenas.total();
}

}  // namespace trireme
