// An optimizer that rounds by chance takes the same chance for an element in every layout: after a few updates with the
// same gradients, all hold the same bits.
#include <gtest/gtest.h>

#include <mutex>

#include "comm/local.h"
#include "ops/op_test.h"
#include "optim/adamw.h"
#include "support/gather.h"

namespace trireme {
namespace {

using Values = std::map<std::string, std::vector<uint16_t>>;  // of whole parameters

float number(const std::string& name, int64_t index, uint64_t round) {
  return 2 * uniform_float(RandomKey::of(round, name_hash(name)).draw(0, static_cast<uint64_t>(index))[0]) - 1;
}

Values updated(const Mesh& mesh, int zero_stage, Master master, Moments moments) {
  Values all;
  std::mutex mutex;
  run_local_ranks(mesh, [&](int, const Groups& groups) {
    ParamTable table;
    const ParamBuilder builder(table, groups.tp->rank(), groups.tp->size());
    builder.add({.name = "fused", .shape = {12, 10}, .split = {.dim = 0, .chunks = {4, 4, 4}}, .decay = true});
    builder.add({.name = "columns", .shape = {6, 34}, .split = {.dim = 1}, .decay = true});
    builder.add({.name = "bias", .shape = {18}, .split = {.dim = 0}});
    builder.add({.name = "whole", .shape = {301}});
    builder.add({.name = "large", .shape = {40, 50}});
    const ModelLayout layout(table, 1, {{0, 1}}, *groups.dp_cp, zero_stage);
    ParamStore params(table, layout, DType::bf16, kCpu, *groups.dp_cp);
    GradStore grads(table, layout, kCpu, groups);
    params.assign([](Param& p) {
      for (int64_t i = 0; i < p.value.numel(); ++i)
        p.value.as<bf16_t>()[i] = to_bf16(number(p.spec.name, testing::global_index(p, i), 0));
    });
    OptimizerConfig config;
    config.moments = moments;
    AdamW adamw(layout, {.param_dtype = DType::bf16, .master = master}, config, 5, kCpu);
    EXPECT_EQ(adamw.bytes(), AdamW(layout, {.param_dtype = DType::bf16, .master = master}, config, 5, kMeta).bytes());
    testing::OpContext op(1);
    adamw.reset_master(op.ctx(), params);
    for (int64_t t = 1; t <= 4; ++t) {
      const FlatRange range = layout.optimizer_range(0);
      const Tensor view = grads.optimizer_view(0, 0, range.size());
      for_each_piece(layout.units[0], range, [&](Param& p, int64_t begin, int64_t flat, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
          view.f32()[flat - range.begin + i] =
              number(p.spec.name, testing::global_index(p, begin + i), static_cast<uint64_t>(t));
      });
      adamw.update(op.ctx(), params, grads, t, 1e-2, {});
    }
    params.acquire(0);
    const std::lock_guard lock(mutex);
    for (const Param& p : table) {
      std::vector<uint16_t>& whole = all[p.spec.name];
      whole.resize(static_cast<size_t>(p.spec.shape.numel()));
      for (int64_t i = 0; i < p.value.numel(); ++i)
        whole[static_cast<size_t>(testing::global_index(p, i))] = p.value.as<bf16_t>()[i].bits;
    }
    params.release(0);
  });
  return all;
}

TEST(AdamWLayouts, HoldTheSameBits) {
  const std::pair<Mesh, int> layouts[] = {
      {{.tp = 2}, 0}, {{.dp = 2}, 1}, {{.dp = 3}, 3}, {{.dp = 2, .tp = 2}, 2}, {{.dp = 2, .cp = 2}, 3}};
  for (const Master master : {Master::float32, Master::remainder, Master::none}) {
    for (const Moments moments : {Moments::float32, Moments::bfloat16}) {
      const Values one = updated({}, 0, master, moments);
      for (const auto& [mesh, zero_stage] : layouts)
        EXPECT_EQ(updated(mesh, zero_stage, master, moments), one)
            << kMasterNames[static_cast<size_t>(master)] << " master, " << kMomentsNames[static_cast<size_t>(moments)]
            << " moments, data " << mesh.dp << ", tensor " << mesh.tp << ", ZeRO " << zero_stage;
    }
  }
}

TEST(AdamWLayouts, EightBitsRoundAlikeWhereverDataRanksCutAParameter) {
  for (const Master master : {Master::float32, Master::none}) {
    const Values one = updated({}, 0, master, Moments::eight_bit);
    const std::pair<Mesh, int> layouts[] = {{{.dp = 2}, 1}, {{.dp = 3}, 3}, {{.dp = 5}, 2}, {{.dp = 2, .cp = 2}, 3}};
    for (const auto& [mesh, zero_stage] : layouts)
      EXPECT_EQ(updated(mesh, zero_stage, master, Moments::eight_bit), one)
          << kMasterNames[static_cast<size_t>(master)] << " master, data " << mesh.dp << ", context " << mesh.cp
          << ", ZeRO " << zero_stage;
  }
}

TEST(AdamWLayouts, ChanceFollowsTheSeedTheParameterAndTheStep) {
  // Were two elements, or two steps, given the same chance, whole parameters would round alike.
  const Values one = updated({}, 0, Master::none, Moments::float32),
               exact = updated({}, 0, Master::float32, Moments::float32);
  for (const auto& [name, values] : one) {
    int64_t up = 0, other = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      other += values[i] != exact.at(name)[i] ? 1 : 0;
      up += (values[i] & 0x7FFF) > (exact.at(name)[i] & 0x7FFF) ? 1 : 0;
    }
    if (values.size() < 100) continue;
    EXPECT_GT(other, static_cast<int64_t>(values.size()) / 10) << name;
    EXPECT_GT(up, other / 4) << name;
    EXPECT_LT(up, 3 * other / 4) << name;
  }
}

}  // namespace
}  // namespace trireme
