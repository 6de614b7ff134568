// Exactly once: whatever kills a run, and on however many ranks it goes on, the ledger of its steps is the plan. A case
// is one data set or a blend of two, an order, batch sizes and a life: runs that are killed at some step, each going on
// from the checkpoint before it on another number of ranks.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "base/thread_pool.h"
#include "data/blend.h"
#include "data/loader.h"
#include "support/temp_dir.h"
#include "support/token_files.h"

namespace trireme {
namespace {

/// A mistake in where a run goes on.
enum class Defect { none, forgets_the_last_step, repeats_a_sample, counts_samples_of_one_rank };

struct Case {
  int64_t length, batch, global_batch, steps, checkpoint_every, seed;
  DataOrder order;
  int64_t weight;  // of a second data set beside the first, which has 2; 0: there is one
  std::vector<std::pair<int64_t, int64_t>> lives;  // (ranks, step at which it is killed); the last one ends
};

class Draw {
 public:
  explicit Draw(uint64_t number) : key_(RandomKey::of(21, number)) {}
  int64_t operator()(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(key_.draw(count_++, 0)[0] % static_cast<uint64_t>(high - low + 1));
  }

 private:
  RandomKey key_;
  uint64_t count_ = 0;
};

Case make_case(uint64_t number, int64_t tokens) {
  Draw draw(number);
  Case c{};
  c.length = draw(3, 12);
  c.batch = draw(1, 2);
  const int64_t most = draw(0, 1) == 0 ? 4 : 3;  // ranks: 1, 2, 4 or 1, 3
  c.global_batch = c.batch * most * draw(1, 2);
  const int64_t per_epoch = (tokens - 1) / c.length / c.global_batch;
  c.steps = draw(2, 3) * per_epoch + draw(1, 5);  // over two epochs and more
  c.checkpoint_every = draw(1, 4);
  c.seed = draw(0, 1000);
  c.order = static_cast<DataOrder>(draw(0, static_cast<int64_t>(kDataOrderNames.size()) - 1));
  c.weight = draw(0, 1) * draw(1, 5);
  int64_t done = 0;
  for (int64_t kills = draw(1, 3); kills > 0; --kills) {
    const int64_t at = draw(done, c.steps - 1);
    c.lives.emplace_back(most == 3 ? draw(0, 1) * 2 + 1 : int64_t{1} << draw(0, 2), at);
    done = at / c.checkpoint_every * c.checkpoint_every;
  }
  c.lives.emplace_back(most == 3 ? draw(0, 1) * 2 + 1 : int64_t{1} << draw(0, 2), c.steps);
  return c;
}

/// What a step took: each sample's ids by its number; "twice" where two ranks took one.
using Ledger = std::map<int64_t, std::map<int64_t, std::vector<int32_t>>>;

std::string add_step(Ledger& ledger, int64_t step, std::span<const std::unique_ptr<Loader>> ranks) {
  std::map<int64_t, std::vector<int32_t>> samples;
  for (const auto& loader : ranks)
    for (const Batch& batch : loader->next())
      for (const Segment& segment : batch.segments) {
        const int32_t *ids = batch.tokens.i32() + segment.q_begin, *targets = batch.targets.i32() + segment.q_begin;
        std::vector<int32_t> window(ids, ids + segment.q_len);
        window.push_back(targets[segment.q_len - 1]);
        const int64_t number = batch.sample_ids.as<int64_t>()[segment.q_begin];
        if (!samples.emplace(number, std::move(window)).second)
          return cat("step ", step, ": sample ", number, " twice");
      }
  const auto [place, fresh] = ledger.emplace(step, samples);
  if (!fresh && place->second != samples) return cat("step ", step, " takes other samples when it is done again");
  return "";
}

/// Lives through a case; empty, or how the ledger differs from the plan.
std::string live(const Case& c, std::span<const IndexedDataset> data, Defect defect) {
  DataConfig config;
  config.order = c.order;
  config.seed = c.seed;
  config.sequence_length = c.length;
  config.split = {1, 0, 0};
  std::vector<BlendSource> sources = {{"a", 2}};
  if (c.weight > 0) sources.push_back({"b", static_cast<double>(c.weight)});
  const auto order = [&] {
    return make_blend_order(data.first(sources.size()), sources, config, DataPart::train, c.steps * c.global_batch);
  };
  Ledger ledger;
  int64_t done = 0;
  for (const auto& [ranks, killed_at] : c.lives) {
    int64_t first = done * c.global_batch;
    if (done > 0 && defect == Defect::forgets_the_last_step) first -= c.global_batch;
    if (done > 0 && defect == Defect::repeats_a_sample) first -= 1;
    if (done > 0 && defect == Defect::counts_samples_of_one_rank) first /= ranks;
    std::vector<std::unique_ptr<Loader>> loaders;
    for (int64_t r = 0; r < ranks && done < killed_at; ++r)
      loaders.push_back(std::make_unique<Loader>(
          order(), LoaderOptions{c.length, c.batch, c.global_batch, r, ranks, first, killed_at - done, 1}));
    for (int64_t step = done; step < killed_at; ++step)
      if (std::string wrong = add_step(ledger, step, loaders); !wrong.empty()) return wrong;
    done = killed_at / c.checkpoint_every * c.checkpoint_every;
  }
  const std::unique_ptr<SampleOrder> plan = order();
  std::vector<int32_t> window(static_cast<size_t>(c.length) + 1);
  for (int64_t step = 0; step < c.steps; ++step) {
    const auto& samples = ledger[step];
    if (static_cast<int64_t>(samples.size()) != c.global_batch)
      return cat("step ", step, ": ", samples.size(), " samples");
    for (int64_t i = step * c.global_batch; i < (step + 1) * c.global_batch; ++i) {
      plan->sample(window, i);
      const auto found = samples.find(i);
      if (found == samples.end()) return cat("step ", step, ": sample ", i, " is left out");
      if (found->second != window) return cat("step ", step, ": sample ", i, " has other ids");
    }
  }
  return "";
}

/// Tests into which the campaign is cut: each is a process of its own under ctest, and threads that start threads hold
/// each other up where they share one.
constexpr int64_t kShards = 16;

class DataOrderCampaign : public ::testing::TestWithParam<int64_t> {
 protected:
  /// Cases from `first` on whose ledger is not the plan.
  int64_t wrong_cases(int64_t first, int64_t cases, Defect defect) {
    std::atomic<int64_t> wrong{0};
    ThreadPool pool(2);
    pool.parallel_for(cases, 8, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = first + begin; i < first + end; ++i) {
        const std::string what = live(make_case(static_cast<uint64_t>(i), data_[0].num_tokens()), data_, defect);
        if (defect == Defect::none && !what.empty()) ADD_FAILURE() << "case " << i << ": " << what;
        wrong += what.empty() ? 0 : 1;
      }
    });
    return wrong;
  }

  void SetUp() override {
    for (const int64_t documents : {12, 15}) {
      std::vector<int64_t> lengths;
      for (int64_t i = 0; i < documents; ++i) lengths.push_back(1 + i * 7 % 13);
      const std::string prefix = dir_.path(cat("tokens", documents));
      testing::write_token_files(prefix, testing::counted_documents(lengths));
      data_.emplace_back(prefix);
    }
  }

  testing::TempDir dir_;
  std::vector<IndexedDataset> data_;
};

TEST_P(DataOrderCampaign, NoSampleIsRepeatedOrSkippedWhateverKillsARunAndOnHoweverManyRanksItGoesOn) {
  const int64_t cases = (std::getenv("TRIREME_LONG") != nullptr ? 300'000 : 10'000) / kShards;
  const int64_t first = GetParam() * cases;
  int64_t kills = 0;
  for (int64_t i = first; i < first + cases; ++i)
    kills += static_cast<int64_t>(make_case(static_cast<uint64_t>(i), data_[0].num_tokens()).lives.size()) - 1;
  const int64_t wrong = wrong_cases(first, cases, Defect::none);
  std::printf(
      "  %lld runs over more than two epochs, killed %lld times, on changing numbers of ranks: %lld samples repeated "
      "or "
      "skipped\n",
      static_cast<long long>(cases), static_cast<long long>(kills), static_cast<long long>(wrong));
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Shard, DataOrderCampaign, ::testing::Range(int64_t{0}, kShards));

class DataOrderDefect : public DataOrderCampaign {};

TEST_P(DataOrderDefect, EveryMistakeInThePositionTurnsItRed) {
  EXPECT_GT(wrong_cases(0, 100, static_cast<Defect>(GetParam())), 10);
}

INSTANTIATE_TEST_SUITE_P(Defects, DataOrderDefect,
                         ::testing::Range(int64_t{1}, static_cast<int64_t>(Defect::counts_samples_of_one_rank) + 1));

}  // namespace
}  // namespace trireme
