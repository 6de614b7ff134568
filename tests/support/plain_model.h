// A model run in the plainest way, without runner, arenas' plan or cache: what others are compared with.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "models/model.h"
#include "params/init.h"
#include "params/param_store.h"

namespace trireme::testing {

class PlainModel {
 public:
  /// The initial values of `seed`, then what `change` makes of them.
  PlainModel(
      const ModelConfig& config, uint64_t seed, const std::function<void(Param&)>& change = [](Param&) {})
      : model(build_model(config, single_)),
        layout_(model.params, model.num_units(), {{0, model.num_units()}}, single_, 0),
        store_(model.params, layout_, DType::f32, kCpu, single_) {
    store_.assign([&](Param& p) {
      init_param(p, seed, pool_);
      change(p);
    });
    for (const auto& unit : model.units) unit->set_slots(1);
  }

  /// Logits (N, V) of one sequence, every token of which is run.
  std::vector<float> logits(std::span<const int32_t> ids) {
    const int64_t n = static_cast<int64_t>(ids.size());
    std::vector<int32_t> tokens(ids.begin(), ids.end()), positions(tokens.size());
    for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i);
    const std::vector<Segment> segments{{0, static_cast<int32_t>(n), 0, static_cast<int32_t>(n), 0, 0}};
    Batch batch;
    batch.tokens = {tokens.data(), DType::i32, kCpu, {n}};
    batch.positions = {positions.data(), DType::i32, kCpu, {n}};
    batch.segments = segments;
    Arena keep("keep", kCpu, 64 << 20), temp("temp", kCpu, 16 << 20);
    Ctx ctx;
    ctx.pool = &pool_;
    ctx.keep = &keep;
    ctx.temp = &temp;
    const auto take = [&] { return keep.take(DType::f32, {n, model.hidden_size}); };
    Stream in;
    for (size_t u = 0; u < model.units.size(); ++u) {
      const Tensor x = in.delta.defined() ? take() : Tensor();
      const Tensor residual = take();
      const Stream out{residual, u == 0 ? Tensor() : take()};
      model.units[u]->forward(ctx, batch, 0, in, x, out);
      in = out;
    }
    std::vector<float> out(static_cast<size_t>(n * model.vocab_size));
    model.head->logits(ctx, {out.data(), DType::f32, kCpu, {n, model.vocab_size}}, in);
    return out;
  }

 private:
  SingleGroup single_;
  ThreadPool pool_{1};

 public:
  Model model;

 private:
  ModelLayout layout_;
  ParamStore store_;
};

}  // namespace trireme::testing
