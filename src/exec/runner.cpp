#include "exec/runner.h"

#include <algorithm>
#include <optional>

#include "base/failpoint.h"
#include "base/numeric.h"
#include "ops/basic.h"

namespace trireme {
namespace {
// Enough for the head's gradient to be read and written few times, few enough that the logits stay a small part.
constexpr int64_t kGpuLogitRows = 16384;

}  // namespace

StageRange StageRange::of(int num_units, int stages, int stage) {
  const bool idle = stages > num_units;  // some have no unit; the head has the last one for itself
  const int units = idle ? num_units - 1 : num_units, parts = idle ? stages - 1 : stages;
  const auto begin = [&](int s) { return units - static_cast<int>(part_begin(units, parts, std::max(parts - s, 0))); };
  StageRange range;
  range.first = begin(stage);
  range.last = begin(stage + 1);
  range.is_first = stage == 0;
  range.is_last = stage == stages - 1;
  if (range.is_last && !idle) --range.last;  // the head is run apart
  return range;
}

std::vector<StageRange> StageRange::of(int num_units, const PipelineShape& shape, int rank) {
  std::vector<StageRange> stages;
  for (int chunk = 0; chunk < shape.chunks; ++chunk)
    stages.push_back(of(num_units, shape.stages(), shape.stage(rank, chunk)));
  return stages;
}

int64_t ArenaSizes::total() const {
  int64_t sum = rebuild + temp + carry;
  for (const int64_t k : keep) sum += k;
  return sum;
}

Runner::Runner(Model& model, ParamStore& params, GradStore* grads, const Groups& groups, const RunnerOptions& options,
               ThreadPool& pool, const ArenaSizes* sizes)
    : model_(model),
      params_(params),
      grads_(grads),
      groups_(groups),
      options_(options),
      stages_(StageRange::of(model.num_units(), {groups.pp->size(), options.chunks}, groups.pp->rank())),
      schedule_(
          one_forward_one_backward({groups.pp->size(), options.chunks}, groups.pp->rank(), options.micro_batches)) {
  const auto arena = [&](const std::string& name, int64_t ArenaSizes::*size) {
    return sizes == nullptr ? Arena::planning(name) : Arena(name, options.device, sizes->*size);
  };
  for (size_t slot = 0; slot < static_cast<size_t>(schedule_.slots); ++slot)
    keep_.push_back(sizes == nullptr ? Arena::planning(cat("keep ", slot))
                                     : Arena(cat("keep ", slot), options.device, sizes->keep[slot]));
  rebuild_ = arena("rebuild", &ArenaSizes::rebuild);
  temp_ = arena("temp", &ArenaSizes::temp);
  carry_ = arena("carry", &ArenaSizes::carry);
  const Shape shape{options.stream_rows, model.hidden_size};
  for (Tensor* t : {&residual_[0], &residual_[1], &delta_[0], &delta_[1]})
    *t = carry_.take(options.activation_dtype, shape);
  if (grads != nullptr) gradient_ = carry_.take(options.activation_dtype, shape);
  for (Tensor* t : {&loss_sum_, &squares_}) *t = carry_.take(DType::f64, {1});
  clip_factor_ = carry_.take(DType::f32, {1});

  ctx_.device = sizes == nullptr ? kMeta : options.device;
  ctx_.backend = options.device.kind;
  ctx_.cuda = options.cuda;
  ctx_.deterministic = options.deterministic;
  if (options.device.kind == DeviceKind::cuda) ctx_.logit_rows = kGpuLogitRows;
  ctx_.pool = &pool;
  ctx_.temp = &temp_;
  ctx_.count = &count_;
  ctx_.seed = options.seed;
  inputs_.assign(keep_.size(), std::vector<Tensor>(model.units.size()));
  marks_.assign(keep_.size(), std::vector<int64_t>(model.units.size()));
  for (const auto& unit : model.units) unit->set_slots(schedule_.slots + 1);  // the last one serves evaluate
}

void Runner::pass(std::string_view failpoint_name) const {
  if (!ctx_.planning()) failpoint(failpoint_name);
}

std::string Runner::unit_name(int unit) const {
  if (unit == 0) return "embedding";
  return unit == static_cast<int>(model_.units.size()) ? "head" : cat("block ", unit - 1);
}

void Runner::clear_loss() { fill_memory(loss_sum_.device, loss_sum_.data, 0, loss_sum_.bytes()); }

void Runner::step(std::span<const Batch> batches, int64_t step) {
  CHECK(static_cast<int>(batches.size()) == options_.micro_batches, batches.size(), " micro-batches, planned ",
        options_.micro_batches);
  count_ = {};
  if (!failpoint("runner.random_step")) ctx_.step = step;
  ctx_.train = true;
  clear_loss();
  grads_->zero(ctx_);
  const bool repeat = can_repeat();
  for (size_t i = 0; i < schedule_.instructions.size(); ++i) {
    const Instruction& instruction = schedule_.instructions[i];
    const Batch& batch = batches[static_cast<size_t>(instruction.micro_batch)];
    try {
      if (repeat && instruction.action == Action::forward)  // alone, its backward comes next
        micro_step(instruction, schedule_.instructions[++i], batch);
      else
        run(instruction, batch);
    } catch (const NumericError& e) {
      throw NumericError(cat(unit_name(current_unit_),
                             instruction.action == Action::backward ? ", backward" : ", forward", ", micro-batch ",
                             instruction.micro_batch, ": ", e.what()));
    }
  }
  grads_->finish(ctx_);
  groups_.dp_cp->all_reduce(loss_sum_, ReduceOp::sum);
  groups_.pp->all_reduce(loss_sum_, ReduceOp::sum);
}

/// On one GPU by itself, and where nobody looks between the ops.
bool Runner::can_repeat() const {
  const bool alone = groups_.pp->size() == 1 && groups_.tp->size() == 1 && groups_.dp_cp->size() == 1;
  return ctx_.cuda != nullptr && !ctx_.planning() && alone && !grads_->sharded() && repeats_ && !poison_ &&
         !ctx_.check_finite && !cuda_is_profiled(*ctx_.cuda);
}

/// By itself where its kernels have still to be chosen, or where it is another one than was noted twice already.
void Runner::micro_step(const Instruction& forward, const Instruction& backward, const Batch& batch) {
  CHECK(backward.action == Action::backward && backward.micro_batch == forward.micro_batch, "a backward must follow");
  const auto by_itself = [&] {
    run(forward, batch);
    run(backward, batch);
  };
  graphs_.resize(static_cast<size_t>(options_.micro_batches));
  MicroGraph& noted = graphs_[static_cast<size_t>(forward.micro_batch)];
  const bool same =
      noted.tokens == batch.tokens.data && noted.num_tokens == batch.num_tokens() &&
      noted.total_weight == batch.total_weight && noted.loss_scale == ctx_.loss_scale &&
      std::equal(batch.segments.begin(), batch.segments.end(), noted.segments.begin(), noted.segments.end());
  if (same && noted.graph != nullptr) return cuda_replay(*ctx_.cuda, *noted.graph);
  // The second time alike it is noted: factors that change with every step are not worth it.
  const bool note = same && tried_tokens_ == batch.num_tokens();
  noted = {batch.tokens.data,
           batch.num_tokens(),
           batch.total_weight,
           ctx_.loss_scale,
           {batch.segments.begin(), batch.segments.end()},
           nullptr};
  if (note) {
    Arena& keep = keep_[static_cast<size_t>(forward.slot)];
    const int64_t kept = keep.mark(), rebuilt = rebuild_.mark();
    noted.graph = cuda_capture(*ctx_.cuda, by_itself);
    if (noted.graph != nullptr) return cuda_replay(*ctx_.cuda, *noted.graph);
    repeats_ = false;
    keep.release(kept);
    rebuild_.release(rebuilt);
  }
  by_itself();
  tried_tokens_ = batch.num_tokens();
}

void Runner::run(const Instruction& instruction, const Batch& batch) {
  const StageRange& stage = stages_[static_cast<size_t>(instruction.chunk)];
  const size_t slot = static_cast<size_t>(instruction.slot);
  const int ranks = groups_.pp->size(), next = (groups_.pp->rank() + 1) % ranks,
            previous = (groups_.pp->rank() + ranks - 1) % ranks;
  switch (instruction.action) {
    case Action::recv_forward:
      stream_ = {keep_[slot].take(options_.activation_dtype, {rows(batch), model_.hidden_size}), {}};
      groups_.pp->recv(stream_.residual, previous);
      return;
    case Action::forward: forward(stage, batch, instruction.slot, instruction.micro_batch == 0); return;
    case Action::send_forward: groups_.pp->send(outgoing(stream_), next); return;
    case Action::recv_backward: groups_.pp_back->recv(resized(gradient_, rows(batch)), next); return;
    case Action::backward:
      backward(stage, batch, instruction.slot, instruction.micro_batch == 0);  // a stage's come in their order
      return;
    case Action::send_backward: groups_.pp_back->send(resized(gradient_, rows(batch)), previous); return;
  }
}

/// residual + delta: what crosses a stage boundary. In the delta's place, since the residual may be saved.
Tensor Runner::outgoing(const Stream& stream) {
  if (!stream.delta.defined()) return stream.residual;
  add(ctx_, stream.delta, stream.residual, stream.delta);
  return stream.delta;
}

/// `first`: of the stage's micro-batches in a step.
void Runner::forward(const StageRange& stage, const Batch& batch, int slot, bool first) {
  Arena& keep = keep_[static_cast<size_t>(slot)];
  const int64_t n = rows(batch);
  const Shape shape{n, model_.hidden_size};
  for (int u = stage.first; u < stage.last; ++u) {
    const size_t i = static_cast<size_t>(u);
    marks_[static_cast<size_t>(slot)][i] = keep.mark();
    const bool embedding = u == 0, by_block = is_run_again(u);
    const Tensor x = !embedding && stream_.delta.defined() ? keep.take(options_.activation_dtype, shape) : Tensor();
    Stream out{.summed = model_.units[i]->sums(ctx_, batch)};
    // What nobody needs again lies in the carry buffers. The residual is saved by its block (none, cheap), and the
    // embedding's output, or a block's sum, is the next block's input.
    out.residual = by_block ? resized(residual_[u % 2], n) : keep.take(options_.activation_dtype, shape);
    const bool is_input = out.summed && u + 1 < stage.last;
    if (!embedding) out.delta = is_input ? keep.take(options_.activation_dtype, shape) : resized(delta_[u % 2], n);
    inputs_[static_cast<size_t>(slot)][i] = x.defined() ? x : stream_.residual;

    ctx_.keep = by_block ? &rebuild_ : &keep;
    const int64_t rebuilt = rebuild_.mark();
    current_unit_ = u;
    params_.acquire(u, !first);
    prefetch_behind(stage, u);
    pass("runner.forward");
    model_.units[i]->forward(ctx_, batch, slot, stream_, x, out);
    params_.release(u);
    rebuild_.release(rebuilt);
    stream_ = out.written();
  }
}

/// What a forward pass needs after unit `u` may come while that computes.
void Runner::prefetch_behind(const StageRange& stage, int u) {
  if (u + 1 < stage.last || stage.is_last) params_.prefetch(u + 1);  // behind the last unit of all comes the head
}

/// The unit's forward once more, for what backward needs only, into the rebuild arena.
void Runner::rebuild(const Batch& batch, int slot, int unit) {
  const Tensor& x = inputs_[static_cast<size_t>(slot)][static_cast<size_t>(unit)];
  ctx_.keep = &rebuild_;
  Unit& again = *model_.units[static_cast<size_t>(unit)];
  again.forward(ctx_, batch, slot, {x, {}}, {}, {rebuild_.take(x.dtype, x.shape), {}, again.sums(ctx_, batch)});
}

/// `first`: as in forward.
void Runner::backward(const StageRange& stage, const Batch& batch, int slot, bool first) {
  const Tensor g = resized(gradient_, rows(batch));
  if (stage.is_last) {
    const int head = static_cast<int>(model_.units.size());
    ctx_.keep = &temp_;
    current_unit_ = head;
    params_.acquire(head);
    if (stage.first < stage.last) params_.prefetch(stage.last - 1);
    grads_->acquire(ctx_, head, first);
    model_.head->loss(ctx_, batch, loss_sum_, g, stream_);
    grads_->publish(ctx_, head);
    params_.release(head);
  }
  for (int u = stage.last - 1; u >= stage.first; --u) {
    const int64_t rebuilt = rebuild_.mark();
    current_unit_ = u;
    params_.acquire(u, true);
    if (u > stage.first) params_.prefetch(u - 1);
    grads_->acquire(ctx_, u, first);
    if (is_run_again(u)) rebuild(batch, slot, u);
    pass("runner.backward");
    model_.units[static_cast<size_t>(u)]->backward(ctx_, batch, slot, g);
    grads_->publish(ctx_, u);
    params_.release(u);
    rebuild_.release(rebuilt);
    keep_[static_cast<size_t>(slot)].release(marks_[static_cast<size_t>(slot)][static_cast<size_t>(u)]);
  }
  if (!stage.is_first) keep_[static_cast<size_t>(slot)].release(0);  // what was received
}

double Runner::evaluate(const Batch& batch) {
  ctx_.train = false;
  ctx_.keep = &idle();
  clear_loss();
  for (const StageRange& stage : stages_) evaluate(stage, batch);
  groups_.pp->all_reduce(loss_sum_, ReduceOp::sum);
  return ctx_.planning() ? 0 : loss_sum_.item();
}

void Runner::evaluate(const StageRange& stage, const Batch& batch) {
  const int ranks = groups_.pp->size(), rank = groups_.pp->rank();
  const int64_t n = rows(batch);
  const Shape shape{n, model_.hidden_size};
  Arena& keep = idle();
  const ArenaScope received(keep);
  stream_ = {};
  if (!stage.is_first) {
    stream_.residual = keep.take(options_.activation_dtype, shape);
    groups_.pp->recv(stream_.residual, (rank + ranks - 1) % ranks);
  }
  for (int u = stage.first; u < stage.last; ++u) {
    const ArenaScope scope(keep);
    const Tensor x = stream_.delta.defined() ? keep.take(options_.activation_dtype, shape) : Tensor();
    Unit& unit = *model_.units[static_cast<size_t>(u)];
    const Stream out{resized(residual_[u % 2], n), u == 0 ? Tensor() : resized(delta_[u % 2], n),
                     unit.sums(ctx_, batch)};
    params_.acquire(u);
    prefetch_behind(stage, u);
    pass("runner.evaluate");
    unit.forward(ctx_, batch, schedule_.slots, stream_, x, out);
    params_.release(u);
    stream_ = out.written();
  }
  if (!stage.is_last) {
    groups_.pp->send(outgoing(stream_), (rank + 1) % ranks);
    return;
  }
  const int head = static_cast<int>(model_.units.size());
  params_.acquire(head);
  model_.head->loss(ctx_, batch, loss_sum_, {}, stream_);
  params_.release(head);
}

ArenaSizes Runner::peaks() const {
  ArenaSizes sizes;
  for (const Arena& arena : keep_) sizes.keep.push_back(arena.peak());
  sizes.rebuild = rebuild_.peak();
  sizes.temp = temp_.peak();
  sizes.carry = carry_.peak();
  return sizes;
}

void Runner::set_poison(bool on) {
  poison_ = on;
  for (Arena& arena : keep_) arena.set_poison(on);
  for (Arena* arena : {&rebuild_, &temp_}) arena->set_poison(on);
}

Plan make_plan(Model& model, const ModelLayout& layout, const Groups& groups, const RunnerOptions& options,
               const StoreTypes& types, ThreadPool& pool, const Batch& batch) {
  ParamTable& table = model.params;
  ParamStore params(table, layout, types.params, kMeta, *groups.dp_cp);
  Plan plan;
  plan.parameter_bytes = params.bytes();
  std::optional<GradStore> grads;
  if (options.micro_batches > 0)
    plan.gradient_bytes = grads.emplace(table, layout, kMeta, groups, types.product_gradients).bytes();
  const auto run = [&](int micro_batches, const RecomputeSplit& recompute, ArenaSizes* arenas) {
    RunnerOptions o = options;
    o.micro_batches = micro_batches;
    o.recompute = recompute;
    Runner runner(model, params, grads ? &*grads : nullptr, groups, o, pool, nullptr);
    if (grads) runner.step(std::vector<Batch>(static_cast<size_t>(micro_batches), batch), 0);
    const OpCount count = runner.count();
    if (arenas == nullptr) return count;
    runner.evaluate(batch);
    *arenas = runner.peaks();
    return count;
  };
  // Where each rank has one stage, micro-batches behind those that fill the pipeline cost the same each and need no
  // more room. (Where it has several, a slot may meet the largest of them late.)
  const int all = options.micro_batches, few = options.chunks > 1 ? all : std::min(all, groups.pp->size() + 2);
  const auto cost = [&](const RecomputeSplit& recompute, ArenaSizes* arenas) {
    const OpCount without_last = few < all ? run(few - 1, recompute, nullptr) : OpCount{};
    OpCount count = run(few, recompute, arenas);
    const double others = all - few;
    count.flops += others * (count.flops - without_last.flops);
    count.matmul_flops += others * (count.matmul_flops - without_last.matmul_flops);
    return count;
  };
  if (grads) plan.model_flops = cost({}, nullptr).matmul_flops;
  plan.step_flops = cost(options.recompute, &plan.arenas).flops;
  return plan;
}

}  // namespace trireme
