// A plan runs as many micro-batches as fill the pipeline, however many the step has: what that leaves out must be like
// what it saw.
#include <gtest/gtest.h>

#include "support/layout_run.h"

namespace trireme {
namespace {

using testing::Layout;

class PlanOfManyMicroBatches : public ::testing::TestWithParam<int> {
 protected:
  Layout layout(int virtual_pipeline = 1) const {
    return {.name = "pipeline",
            .mesh = {.pp = GetParam()},
            .recompute = Recompute::block,
            .virtual_pipeline = GetParam() > 1 ? virtual_pipeline : 1};
  }
  const ModelConfig model_ = testing::tiny_gpt2();
};

TEST_P(PlanOfManyMicroBatches, CountsEachOfThem) {
  for (const int chunks : {1, 2})
    run_local_ranks(layout().mesh, [&](int, const Groups& groups) {
      ThreadPool pool(1);
      const auto plan = [&](int micro_batches) {
        return Engine::plan(testing::engine_config(model_, layout(chunks), micro_batches, {}), groups, pool);
      };
      const MemoryPlan one = plan(1), two = plan(2);  // a tied embedding's gradients are added once a step
      for (const int micro_batches : {3, 4, 7, 40}) {
        const MemoryPlan many = plan(micro_batches);
        EXPECT_NEAR(many.step_flops, one.step_flops + (micro_batches - 1) * (two.step_flops - one.step_flops),
                    1e-12 * many.step_flops);
        EXPECT_NEAR(many.model_flops, micro_batches * one.model_flops, 1e-12 * many.model_flops);
      }
    });
}

TEST_P(PlanOfManyMicroBatches, HasTheRoomThatAllTake) {
  for (const int chunks : {1, 2})
    for (const int micro_batches : {3, 7, 12})
      testing::train(model_, layout(chunks), micro_batches);  // which compares the peaks of all arenas with the plan
}

INSTANTIATE_TEST_SUITE_P(, PlanOfManyMicroBatches, ::testing::Values(1, 2, 4),
                         [](const auto& ranks) { return "pipeline" + std::to_string(ranks.param); });

}  // namespace
}  // namespace trireme
