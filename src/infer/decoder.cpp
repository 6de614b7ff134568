#include "infer/decoder.h"

#include <algorithm>

#include "base/numeric.h"
#include "checkpoint/model_io.h"
#include "layers/attention.h"
#include "ops/basic.h"
#include "ops/likeliest.h"

namespace trireme {
namespace {
constexpr int64_t kPrefillTokens = 256;  // of one pass: bounds the arenas, long enough for products at full rate
}

Decoder::Decoder(const DecoderConfig& config, ThreadPool& pool, const Groups* groups)
    : config_(config),
      pool_(pool),
      groups_(groups != nullptr ? *groups : Groups::alone(single_)),
      cuda_(make_cuda_context(config.device, config.gpu)),
      model_(build_model(config.model, *groups_.tp, {.positions = config.capacity, .device = config.device})),
      stage_(StageRange::of(model_.num_units(), groups_.pp->size(), groups_.pp->rank())),
      lengths_(static_cast<size_t>(config.sequences)),
      max_tokens_(std::max<int64_t>(std::min(kPrefillTokens, config.capacity), config.sequences)) {
  layout_.emplace(model_.params, model_.num_units(), std::vector<UnitRange>{stage_.held()}, single_, 0);
  const ModelConfig& m = config.model;
  make_cache();
  host_inputs_ = make_inputs(kCpu);
  segments_.reserve(static_cast<size_t>(max_tokens_));
  for (const auto& unit : model_.units) unit->set_slots(1);
  const int64_t bytes = config.sequences * (m.vocab_size * dtype_size(DType::f32) + dtype_size(DType::i32));
  results_ = Buffer("logits", config.device, bytes);
  if (config.device != kCpu) {
    host_results_ = Buffer("logits on the host", kCpu, bytes);
    pinned_.emplace(host_results_.data(), bytes);
    inputs_ = make_inputs(config.device);
    for (auto& graphs : step_graphs_) graphs.resize(static_cast<size_t>(config.sequences) + 1);
  }
  plan();
  params_.emplace(model_.params, *layout_, config.param_dtype, config.device, single_);
}

Decoder::Inputs Decoder::make_inputs(Device device) const {
  Inputs in;
  const int64_t part = round_up(max_tokens_ * dtype_size(DType::i64), kAlignment);
  in.memory = Buffer("tokens", device, 4 * part);
  in.bytes = 3 * part;
  int64_t offset = 0;
  for (Tensor* t : {&in.tokens, &in.positions, &in.cache_rows}) {
    *t = in.memory.view(DType::i32, {max_tokens_}, offset);
    offset += part;
  }
  in.sample_ids = in.memory.view(DType::i64, {max_tokens_}, offset);
  return in;
}

/// The heads of this tensor rank, of the blocks of this pipeline stage.
void Decoder::make_cache() {
  const ModelConfig& m = config_.model;
  const RankHeads heads =
      rank_heads(m.num_attention_heads, m.num_key_value_heads, groups_.tp->size(), groups_.tp->rank());
  const Shape shape{config_.sequences * config_.capacity, heads.kv, m.head_dim};
  const int64_t half = shape.numel() * dtype_size(config_.param_dtype);
  views_.resize(static_cast<size_t>(m.num_hidden_layers));
  for (int64_t layer = 0; layer < m.num_hidden_layers; ++layer) {
    if (layer + 1 < stage_.first || layer + 1 >= stage_.last) continue;
    const Buffer& keys = cache_.emplace_back(cat("key-value cache of layer ", layer), config_.device, 2 * half);
    views_[static_cast<size_t>(layer)] = {keys.view(config_.param_dtype, shape),
                                          keys.view(config_.param_dtype, shape, half)};
  }
}

/// Runs a pass of every size on the meta device and makes arenas of their peaks: a product of fewer rows may be cut
/// into larger tiles, so the largest pass need not be the dearest one.
void Decoder::plan() {
  Arenas planned{Arena::planning("keep"), Arena::planning("temp"), Arena::planning("stream")};
  Ctx ctx;
  ctx.device = kMeta;
  params_.emplace(model_.params, *layout_, config_.param_dtype, kMeta, single_);
  const auto pass = [&](int64_t n, bool decodes) {  // a token each of several sequences, or a run of one
    const auto length = static_cast<int32_t>(decodes ? 1 : n);
    segments_.assign(static_cast<size_t>(n / length), {0, length, 0, length, 0, 0});
    Batch all = batch(n, decodes);
    if (!all.cache_rows.defined()) all.kv = {};
    const int64_t rows = decodes ? n : 1;
    run(ctx, planned, all, n - rows,
        {Tensor(nullptr, DType::f32, kMeta, {rows, config_.model.vocab_size}),
         Tensor(nullptr, DType::i32, kMeta, {rows})});
  };
  for (int64_t n = 1; n <= max_tokens_; ++n) pass(n, false);
  for (int64_t n = 1; n <= config_.sequences; ++n) pass(n, true);
  arenas_ = {Arena("keep", config_.device, planned.keep.peak()), Arena("temp", config_.device, planned.temp.peak()),
             Arena("stream", config_.device, planned.stream.peak())};
}

void Decoder::load(const WeightFiles& files) {
  read_model_weights(config_.model, model_.params, [&](const std::string& name) { return files.find(name); });
}

/// The first n tokens, where the model runs. `decodes`: one each of n sequences.
Batch Decoder::batch(int64_t n, bool decodes) {
  const bool on_gpu = config_.device != kCpu;
  const Inputs& in = on_gpu ? inputs_ : host_inputs_;
  if (on_gpu) copy_memory(config_.device, inputs_.memory.data(), kCpu, host_inputs_.memory.data(), host_inputs_.bytes);
  Batch b;
  b.tokens = in.tokens.slice(0, 0, n);
  b.positions = in.positions.slice(0, 0, n);
  b.sample_ids = in.sample_ids.slice(0, 0, n);
  if (on_gpu && decodes) b.cache_rows = in.cache_rows.slice(0, 0, n);
  b.segments = segments_;
  b.kv = views_;
  return b;
}

/// Where a pass leaves what it says of `rows` sequences.
Decoder::Result Decoder::result(int64_t rows, bool chooses) const {
  const Tensor logits = results_.view(DType::f32, {rows, config_.model.vocab_size});
  const int64_t ids = config_.sequences * config_.model.vocab_size * dtype_size(DType::f32);
  return {logits, chooses ? results_.view(DType::i32, {rows}, ids) : Tensor()};
}

void Decoder::run(Ctx ctx, Arenas& arenas, const Batch& batch, int64_t first_logit_row, const Result& result) {
  ctx.pool = &pool_;
  ctx.backend = config_.device.kind;
  if (!ctx.planning()) {
    ctx.device = config_.device;
    ctx.cuda = cuda_.get();
  }
  ctx.keep = &arenas.keep;
  ctx.temp = &arenas.temp;
  const ArenaScope scope(arenas.stream);
  Group& pp = *groups_.pp;
  Stream in = run_units(ctx, arenas, batch);
  if (stage_.is_last) {
    const int64_t n = batch.num_tokens();
    in.residual = in.residual.slice(0, first_logit_row, n);
    if (in.delta.defined()) in.delta = in.delta.slice(0, first_logit_row, n);
    model_.head->logits(ctx, result.logits, in);
  } else {
    if (in.delta.defined()) add(ctx, in.residual, in.residual, in.delta);
    pp.send(in.residual, pp.rank() + 1);
  }
  pp.broadcast(result.logits, pp.size() - 1);
  if (!result.ids.defined()) return;
  const int64_t choices = config_.choices > 0 ? config_.choices : config_.model.vocab_size;
  likeliest(ctx, result.ids, result.logits.slice(1, 0, choices));
}

/// The units of this stage, over what the stage before sends. The result lies in arenas.stream.
Stream Decoder::run_units(Ctx& ctx, Arenas& arenas, const Batch& batch) {
  const Shape shape{batch.num_tokens(), model_.hidden_size};
  const auto take = [&] { return arenas.stream.take(config_.param_dtype, shape); };
  const Stream ping{take(), take()}, pong{take(), take()};
  const Tensor x = take();
  Stream in;
  if (!stage_.is_first) {
    in.residual = take();
    groups_.pp->recv(in.residual, groups_.pp->rank() - 1);
  }
  for (int u = stage_.first; u < stage_.last; ++u) {
    const ArenaScope saved(arenas.keep);
    const Stream& here = u % 2 == 0 ? ping : pong;
    Unit& unit = *model_.units[static_cast<size_t>(u)];
    const bool summed = batch.cache_rows.defined() && unit.sums(ctx, batch);
    const Stream out{here.residual, u == 0 ? Tensor() : here.delta, summed};
    unit.forward(ctx, batch, 0, in, in.delta.defined() ? x : Tensor(), out);
    in = out.written();
  }
  return in;
}

/// Puts `tokens` of sequence `s` at `row` of the batch.
void Decoder::append(int64_t row, int s, std::span<const int32_t> tokens, std::vector<Segment>& segments) {
  int64_t& length = lengths_[static_cast<size_t>(s)];
  const int64_t n = static_cast<int64_t>(tokens.size());
  CHECK(length + n <= config_.capacity, "sequence ", s, " holds ", length, " of ", config_.capacity, " tokens, ", n,
        " more came");
  for (int64_t i = 0; i < n; ++i) {
    host_inputs_.tokens.i32()[row + i] = tokens[static_cast<size_t>(i)];
    host_inputs_.positions.i32()[row + i] = static_cast<int32_t>(length + i);
    host_inputs_.cache_rows.i32()[row + i] = static_cast<int32_t>(s * config_.capacity);
  }
  segments.push_back({static_cast<int32_t>(row), static_cast<int32_t>(n), static_cast<int32_t>(s * config_.capacity),
                      static_cast<int32_t>(length + n), static_cast<int32_t>(length), 0});
  length += n;
}

Tensor Decoder::prefill(int s, std::span<const int32_t> tokens) {
  CHECK(!tokens.empty(), "no tokens");
  const Result last = result(1, false);
  while (!tokens.empty()) {
    const int64_t n = std::min<int64_t>(max_tokens_, static_cast<int64_t>(tokens.size()));
    segments_.clear();
    append(0, s, tokens.first(static_cast<size_t>(n)), segments_);
    run({}, arenas_, batch(n, false), n - 1, last);
    tokens = tokens.subspan(static_cast<size_t>(n));
  }
  return to_host(last.logits);
}

Tensor Decoder::to_host(const Tensor& result) {
  if (result.device == kCpu) return result;
  const Tensor here = host_results_.view(result.dtype, result.shape);
  copy_memory(kCpu, here.data, result.device, result.data, result.bytes());
  return here;
}

Tensor Decoder::step(std::span<const int> sequences, std::span<const int32_t> tokens) {
  const Result all = result(static_cast<int64_t>(tokens.size()), false);
  run_step(sequences, tokens, all);
  return to_host(all.logits);
}

std::span<const int32_t> Decoder::step_likeliest(std::span<const int> sequences, std::span<const int32_t> tokens) {
  const Result all = result(static_cast<int64_t>(tokens.size()), true);
  run_step(sequences, tokens, all);
  return {to_host(all.ids).i32(), tokens.size()};
}

/// On one GPU by itself, a step is noted the second time (the first one tunes) and from then on asked for in one call.
void Decoder::run_step(std::span<const int> sequences, std::span<const int32_t> tokens, const Result& result) {
  CHECK(!tokens.empty() && sequences.size() == tokens.size() && tokens.size() <= lengths_.size(), tokens.size(),
        " tokens");
  segments_.clear();
  for (size_t i = 0; i < tokens.size(); ++i)
    append(static_cast<int64_t>(i), sequences[i], tokens.subspan(i, 1), segments_);
  const Batch pass = batch(static_cast<int64_t>(tokens.size()), true);
  const bool alone = groups_.tp->size() == 1 && groups_.pp->size() == 1;
  StepGraph* step = cuda_ != nullptr && alone && !cuda_is_profiled(*cuda_)
                        ? &step_graphs_[result.ids.defined() ? 1 : 0][tokens.size()]
                        : nullptr;
  if (step != nullptr && ++step->steps == 2)
    step->graph = cuda_capture(*cuda_, [&] { run({}, arenas_, pass, 0, result); });
  if (step != nullptr && step->graph != nullptr)
    cuda_replay(*cuda_, *step->graph);
  else
    run({}, arenas_, pass, 0, result);
}

}  // namespace trireme
