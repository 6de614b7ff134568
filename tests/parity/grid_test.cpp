// The proof that layouts do not matter: every mesh over 1, 2, 4 and 8 thread ranks with every option, and every pair of
// options (with TRIREME_LONG=1: all of them together) against one rank, with dropout on. Prints what was compared and
// how far apart it was.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "parity/grid.h"

namespace trireme {
namespace {

using testing::Defect, testing::distance, testing::Distance, testing::grid_models, testing::GridCase, testing::Layout,
    testing::layout_of, testing::name_of, testing::Outcome;

/// Relative to the largest element, two orders of a sum of n terms in f32 differ by about sqrt(n) eps (Higham and Mary,
/// 2019), and each of the layers, forward and backward, adds its own: 4 products one behind the other in each
/// direction.
double bound(const ModelConfig& model, int micro_batches) {
  const double tokens = 2.0 * 16 * micro_batches;
  const double longest =
      std::max({tokens, static_cast<double>(model.vocab_size), static_cast<double>(model.intermediate_size)});
  return 2 * 4 * static_cast<double>(model.num_hidden_layers + 1) * std::sqrt(longest) * 0x1p-24;
}

/// The runs on one rank, each made once.
class References {
 public:
  const Outcome& of(size_t model, int micro_batches) {
    auto [entry, made] = runs_.try_emplace({model, micro_batches});
    if (made) entry->second = testing::train(models[model], {"one rank"}, micro_batches, {}, testing::batch_of(model));
    return entry->second;
  }
  const std::vector<ModelConfig> models = grid_models();

 private:
  std::map<std::pair<size_t, int>, Outcome> runs_;
};

struct Verdict {
  Distance distance;
  bool bitwise = false;
  bool equal = false;  // as near to one rank as it must be
};

Verdict judge(References& references, const GridCase& c, const Defect& defect = {}) {
  const ModelConfig& model = references.models[c.model];
  const int micro_batches = c.accumulation * static_cast<int>(c.parallel.data);
  const Layout layout = layout_of(c);
  const Distance d = distance(references.of(c.model, micro_batches),
                              testing::train(model, layout, micro_batches, defect, testing::batch_of(c.model)));
  // A norm is a sum of squares in double, of which each rank has its part.
  const double limit = layout.bitwise ? 0 : bound(model, micro_batches);
  const double norm_limit = layout.bitwise ? 4 * 0x1p-52 : limit;
  return {d, layout.bitwise, d.loss <= limit && d.gradient <= limit && d.norm <= norm_limit};
}

/// What was compared, by the axes that a layout has.
class Table {
 public:
  void add(const GridCase& c, const Verdict& v) {
    const ParallelConfig& p = c.parallel;
    std::string axes;
    const auto name = [&](bool has, const char* text) {
      if (has) axes += cat(axes.empty() ? "" : " x ", text);
    };
    name(p.pipeline > 1, "pipeline");
    name(p.data > 1, "data");
    name(p.context > 1, "context");
    name(p.tensor > 1, "tensor");
    Row& row = rows_[{static_cast<int>(std::count(axes.begin(), axes.end(), 'x')), axes.empty() ? "one rank" : axes}];
    ++row.cases;
    row.bitwise += v.bitwise ? 1 : 0;
    row.loss = std::max(row.loss, v.distance.loss);
    row.gradient = std::max(row.gradient, v.distance.gradient);
    row.norm = std::max(row.norm, v.distance.norm);
  }
  void print() const {
    std::printf(
        "| axes | cases | bitwise | worst loss | worst gradient | worst norm |\n| --- | --- | --- | --- | --- | --- "
        "|\n");
    Row all;
    for (const auto& [key, row] : rows_) {
      print(key.second, row);
      all = {all.cases + row.cases, all.bitwise + row.bitwise, std::max(all.loss, row.loss),
             std::max(all.gradient, row.gradient), std::max(all.norm, row.norm)};
    }
    print("all", all);
  }

 private:
  struct Row {
    int cases = 0, bitwise = 0;
    double loss = 0, gradient = 0, norm = 0;
  };
  static void print(const std::string& name, const Row& row) {
    std::printf("| %s | %d | %d | %.1e | %.1e | %.1e |\n", name.c_str(), row.cases, row.bitwise, row.loss, row.gradient,
                row.norm);
  }
  std::map<std::pair<int, std::string>, Row> rows_;
};

bool in_full() { return std::getenv("TRIREME_LONG") != nullptr; }

TEST(Grid, EveryLayoutTrainsLikeOneRank) {
  References references;
  const std::vector<GridCase> all = testing::grid_cases(references.models);
  const std::vector<GridCase> cases = in_full() ? all : testing::pairwise_choice(all);
  Table table;
  double nearest = 0;
  for (const GridCase& c : cases) {
    const Verdict v = judge(references, c);
    EXPECT_TRUE(v.equal) << name_of(c) << ": loss " << v.distance.loss << ", gradient " << v.distance.gradient
                         << ", norm " << v.distance.norm << (v.bitwise ? ", expected the same bits" : "");
    const int micro_batches = c.accumulation * static_cast<int>(c.parallel.data);
    nearest = std::max(
        nearest, std::max(v.distance.gradient, v.distance.loss) / bound(references.models[c.model], micro_batches));
    table.add(c, v);
  }
  std::printf("  %zu of %zu layouts over 1, 2, 4 and 8 thread ranks, relative to one rank; at most %.2f of the bound\n",
              cases.size(), all.size(), nearest);
  table.print();
}

TEST(Grid, TheChoiceHasEveryMeshAndEveryPairOfOptions) {
  const std::vector<GridCase> all = testing::grid_cases(grid_models()), chosen = testing::pairwise_choice(all);
  testing::OptionPairs every, covered;
  std::set<std::vector<int64_t>> meshes;
  for (const GridCase& c : all) every.merge(testing::option_pairs(c));
  for (const GridCase& c : chosen) {
    covered.merge(testing::option_pairs(c));
    meshes.insert({c.parallel.pipeline, c.parallel.data, c.parallel.context, c.parallel.tensor});
  }
  EXPECT_EQ(covered, every);
  EXPECT_EQ(meshes.size(), 35U);  // ways to write 1, 2, 4 and 8 as a product of four powers of 2
  EXPECT_LT(chosen.size(), 200U);
}

/// Makes the mistake on every chosen layout that it applies to; all must be judged unequal.
template <class Applies>
void expect_red(const Defect& defect, Applies applies) {
  References references;
  int tried = 0;
  for (const GridCase& c : testing::pairwise_choice(testing::grid_cases(references.models))) {
    if (!applies(c) || (tried >= 12 && !in_full())) continue;
    ++tried;
    EXPECT_FALSE(judge(references, c, defect).equal) << name_of(c);
  }
  EXPECT_GE(tried, 4);
}

TEST(GridDefect, ARowParallelBiasAddedOnEachRankTurnsItRed) {
  expect_red({.biases_on_every_rank = true}, [](const GridCase& c) { return c.model == 0 && c.parallel.tensor > 1; });
}

TEST(GridDefect, AGradientNormThatCountsAShardTwiceTurnsItRed) {
  // Of a step's two sums of one number over the ranks with the same parameters, the second is the norm's.
  expect_red({.data = {.doubled_scalar = 1}}, [](const GridCase& c) { return c.parallel.zero_stage >= 1; });
}

TEST(GridDefect, ALostMicroBatchTurnsItRed) {
  expect_red({.loses_micro_batch = true}, [](const GridCase& c) { return c.accumulation > 1; });
}

TEST(GridDefect, AMissingSumOverTensorRanksTurnsItRed) {
  expect_red({.tensor = {.skipped_sum = 3}}, [](const GridCase& c) { return c.parallel.tensor > 1; });
}

TEST(GridDefect, KeysOfContextRanksInTheWrongOrderTurnItRed) {
  expect_red({.context = {.shifted_gather = true}}, [](const GridCase& c) { return c.parallel.context > 1; });
}

TEST(GridDefect, GradientsOfKeysKeptByOneContextRankTurnItRed) {
  expect_red({.context = {.averages = true}}, [](const GridCase& c) { return c.parallel.context > 1; });
}

TEST(GridDefect, GradientsOfSharedHeadsLeftUnsummedTurnItRed) {
  const ModelConfig model = grid_models()[testing::kSharesHeads];
  const auto keys = static_cast<int>(model.num_key_value_heads * model.head_dim);
  const auto applies = [](const GridCase& c) { return c.model == testing::kSharesHeads; };
  expect_red({.tensor = {.skipped_size = keys * static_cast<int>(model.hidden_size)}}, applies);
  expect_red({.tensor = {.skipped_size = keys}}, applies);  // their biases
}

TEST(GridDefect, RowsScatteredUnsummedTurnItRed) {
  expect_red({.tensor = {.averages = true}}, [](const GridCase& c) { return c.parallel.sequence_parallel; });
}

}  // namespace
}  // namespace trireme
