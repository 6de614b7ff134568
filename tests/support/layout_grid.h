// The grid of layouts: every mesh over 1, 2, 4 and 8 ranks with every option that it allows; and a choice from it that
// has every pair of options, the mesh being one, at least once.
#pragma once

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "exec/config.h"
#include "train/layout_rules.h"
#include "train/layouts.h"

namespace trireme::testing {

/// Which model; indices are the test's.
struct GridCase {
  size_t model = 0;
  ParallelConfig parallel;
  Recompute recompute = Recompute::none;
  int accumulation = 1;  // micro-batches of each data rank
};

/// All layouts that are not refused and whose options have an effect.
inline std::vector<GridCase> full_grid(const std::vector<ModelConfig>& models) {
  std::vector<GridCase> cases;
  for (size_t model = 0; model < models.size(); ++model)
    for (const ParallelConfig& p : all_layouts(8)) {
      if (!layout_problems({p, &models[model]}).empty()) continue;
      for (const Recompute recompute : {Recompute::none, Recompute::cheap, Recompute::block})
        for (const int accumulation : {1, 3}) cases.push_back({model, p, recompute, accumulation});
    }
  return cases;
}

/// The values of all options of a case: its mesh is one, and which axes it has are others.
inline std::vector<int64_t> options(const GridCase& c) {
  const ParallelConfig& p = c.parallel;
  return {static_cast<int64_t>(c.model),
          (p.pipeline * 16 + p.data) * 256 + p.context * 16 + p.tensor,
          p.zero_stage,
          p.sequence_parallel,
          p.virtual_pipeline,
          static_cast<int64_t>(c.recompute),
          c.accumulation,
          p.pipeline > 1,
          p.data > 1,
          p.context > 1,
          p.tensor > 1};
}

/// Pairs of options with their values: (option, value, option, value).
using OptionPairs = std::set<std::vector<int64_t>>;

inline OptionPairs option_pairs(const GridCase& c) {
  const std::vector<int64_t> values = options(c);
  OptionPairs pairs;
  for (size_t i = 0; i < values.size(); ++i)
    for (size_t j = i + 1; j < values.size(); ++j)
      pairs.insert({static_cast<int64_t>(i), values[i], static_cast<int64_t>(j), values[j]});
  return pairs;
}

/// Always the case with most pairs that no other has yet, until every pair of the grid is there.
inline std::vector<GridCase> pairwise_choice(const std::vector<GridCase>& grid) {
  const RandomKey key{1};
  std::vector<std::pair<uint32_t, size_t>> order;  // mixed, so that equal gains are not all won by the first option
  for (size_t i = 0; i < grid.size(); ++i) order.push_back({key.draw(0, i)[0], i});
  std::sort(order.begin(), order.end());
  std::vector<OptionPairs> pairs;
  for (const GridCase& c : grid) pairs.push_back(option_pairs(c));

  OptionPairs covered;
  std::vector<GridCase> chosen;
  for (;;) {
    size_t best = 0;
    int64_t best_gain = 0;
    for (const auto& [mix, i] : order) {
      const int64_t gain =
          std::count_if(pairs[i].begin(), pairs[i].end(), [&](const auto& p) { return !covered.count(p); });
      if (gain > best_gain) best = i, best_gain = gain;
    }
    if (best_gain == 0) return chosen;
    covered.insert(pairs[best].begin(), pairs[best].end());
    chosen.push_back(grid[best]);
  }
}

}  // namespace trireme::testing
