// Which units a pipeline stage has: each unit is one stage's, in order, whatever their numbers.
#include <gtest/gtest.h>

#include "exec/runner.h"

namespace trireme {
namespace {

TEST(Stages, HaveEveryUnitOnceTheEmbeddingFirstAndTheHeadLast) {
  for (int units = 3; units <= 12; ++units)
    for (int stages = 1; stages <= 20; ++stages) {
      SCOPED_TRACE(cat(units, " units, ", stages, " stages"));
      int next = 0, most = 0, least = units;
      for (int s = 0; s < stages; ++s) {
        const StageRange stage = StageRange::of(units, stages, s);
        const UnitRange held = stage.held();
        EXPECT_EQ(held.first, next);
        EXPECT_GE(held.last, held.first);
        EXPECT_EQ(stage.is_first, s == 0);
        EXPECT_EQ(stage.is_last, s == stages - 1);
        EXPECT_EQ(stage.last, stage.is_last ? units - 1 : held.last);  // the head is run apart
        next = held.last;
        most = std::max(most, held.last - held.first);
        least = std::min(least, held.last - held.first);
        if (s == 0 || stage.is_last) {
          EXPECT_GE(held.last - held.first, 1);
        }
      }
      EXPECT_EQ(next, units);
      EXPECT_LE(most - least, 1);
    }
}

}  // namespace
}  // namespace trireme
