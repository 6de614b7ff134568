#include "data/loader.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "base/error.h"
#include "support/allocations.h"
#include "support/temp_dir.h"
#include "support/token_files.h"

namespace trireme {
namespace {

constexpr int64_t kLength = 6;

class LoaderTest : public ::testing::Test {
 protected:
  LoaderTest() : data_(make(dir_.path("t"))) {}

  static IndexedDataset make(const std::string& prefix) {
    std::vector<int64_t> lengths;
    for (int64_t i = 0; i < 40; ++i) lengths.push_back(1 + i * 7 % 13);
    testing::write_token_files(prefix, testing::counted_documents(lengths), TokenType::i32);
    return IndexedDataset(prefix);
  }

  std::unique_ptr<SampleOrder> order(int64_t seed = 1) const {
    return std::make_unique<EpochOrder>(data_, DocumentRange{0, data_.num_documents()}, kLength, seed);
  }

  static LoaderOptions options(int64_t batch, int64_t global, int64_t rank = 0, int64_t ranks = 1) {
    return {kLength, batch, global, rank, ranks, 0, 1000, 2};
  }

  testing::TempDir dir_;
  IndexedDataset data_;
};

/// Tokens, then targets, of each sample id of a batch.
void collect(std::span<const Batch> batches, std::map<int64_t, std::vector<int32_t>>& samples) {
  for (const Batch& batch : batches) {
    for (const Segment& segment : batch.segments) {
      const int64_t id = batch.sample_ids.as<int64_t>()[segment.q_begin];
      EXPECT_EQ(samples.count(id), 0U) << "sample " << id << " twice";
      std::vector<int32_t>& sample = samples[id];
      const int32_t *tokens = batch.tokens.i32() + segment.q_begin, *targets = batch.targets.i32() + segment.q_begin;
      sample.assign(tokens, tokens + segment.q_len);
      sample.insert(sample.end(), targets, targets + segment.q_len);
    }
  }
}

TEST_F(LoaderTest, BatchesHoldTheSamplesOfTheOrder) {
  Loader loader(order(), options(2, 4));
  const auto expected = order();
  std::vector<int32_t> window(kLength + 1);
  for (int64_t step = 0; step < 60; ++step) {  // three epochs and more
    const std::span<const Batch> batches = loader.next();
    ASSERT_EQ(batches.size(), 2U);
    for (int64_t m = 0; m < 2; ++m) {
      const Batch& batch = batches[static_cast<size_t>(m)];
      ASSERT_EQ(batch.num_tokens(), 2 * kLength);
      EXPECT_EQ(batch.total_weight, 4 * kLength);
      ASSERT_EQ(batch.segments.size(), 2U);
      for (int64_t b = 0; b < 2; ++b) {
        const int64_t id = step * 4 + m * 2 + b;
        expected->sample(window, id);
        const Segment& s = batch.segments[static_cast<size_t>(b)];
        EXPECT_EQ(s.q_begin, b * kLength);
        EXPECT_EQ(s.k_begin, b * kLength);
        EXPECT_EQ(s.q_len, kLength);
        EXPECT_EQ(s.k_len, kLength);
        for (int64_t t = 0; t < kLength; ++t) {
          const int64_t row = b * kLength + t;
          EXPECT_EQ(batch.tokens.i32()[row], window[static_cast<size_t>(t)]);
          EXPECT_EQ(batch.targets.i32()[row], window[static_cast<size_t>(t) + 1]);
          EXPECT_EQ(batch.weights.f32()[row], 1.0F);
          EXPECT_EQ(batch.positions.i32()[row], t);
          EXPECT_EQ(batch.sample_ids.as<int64_t>()[row], id);
        }
      }
    }
  }
  EXPECT_EQ(loader.consumed_samples(), 240);
}

TEST_F(LoaderTest, RanksTogetherTakeWhatOneTakes) {
  for (const int64_t ranks : {2, 4}) {
    for (int64_t step = 0; step < 3; ++step) {
      std::map<int64_t, std::vector<int32_t>> one, many;
      LoaderOptions o = options(2, 16);
      o.first_sample = step * 16;
      Loader whole(order(), o);
      collect(whole.next(), one);
      for (int64_t r = 0; r < ranks; ++r) {
        LoaderOptions part = options(2, 16, r, ranks);
        part.first_sample = step * 16;
        Loader loader(order(), part);
        const std::span<const Batch> batches = loader.next();
        EXPECT_EQ(batches.size(), static_cast<size_t>(8 / ranks));
        for (size_t m = 0; m < batches.size(); ++m) {
          EXPECT_EQ(batches[m].total_weight, 16 * kLength);
          EXPECT_EQ(batches[m].sample_ids.as<int64_t>()[0], step * 16 + (static_cast<int64_t>(m) * ranks + r) * 2);
        }
        collect(batches, many);
      }
      EXPECT_EQ(one, many);
    }
  }
}

TEST_F(LoaderTest, ResumedLoaderGoesOnWhereTheFirstStopped) {
  Loader first(order(), options(4, 8));
  for (int64_t step = 0; step < 7; ++step) first.next();
  LoaderOptions o = options(4, 8);
  o.first_sample = first.consumed_samples();
  EXPECT_EQ(o.first_sample, 56);
  Loader second(order(), o);
  for (int64_t step = 0; step < 10; ++step) {
    std::map<int64_t, std::vector<int32_t>> a, b;
    collect(first.next(), a);
    collect(second.next(), b);
    EXPECT_EQ(a, b);
  }
  EXPECT_EQ(first.consumed_samples(), second.consumed_samples());
}

TEST_F(LoaderTest, BatchInUseIsNotOverwritten) {
  Loader loader(order(), options(2, 4));
  for (int64_t step = 0; step < 10; ++step) {
    const std::span<const Batch> batches = loader.next();
    std::map<int64_t, std::vector<int32_t>> before, after;
    collect(batches, before);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    collect(batches, after);
    EXPECT_EQ(before, after);
    EXPECT_EQ(before.begin()->first, step * 4);
  }
}

TEST_F(LoaderTest, StepAllocatesNothing) {
  Loader loader(order(), options(2, 4));
  loader.next();
  const int64_t before = testing::num_allocations();
  for (int64_t step = 0; step < 60; ++step) loader.next();
  EXPECT_EQ(testing::num_allocations(), before);
}

TEST_F(LoaderTest, EvaluationCountsEveryTargetOnce) {
  for (const int64_t ranks : {1, 2}) {
    double weight = 0, total = 0;
    std::vector<int> seen(static_cast<size_t>(data_.num_tokens()));
    for (int64_t r = 0; r < ranks; ++r) {
      auto sequential = std::make_unique<SequentialOrder>(data_, DocumentRange{0, data_.num_documents()}, kLength);
      LoaderOptions o = options(4, 4 * ranks, r, ranks);
      o.num_steps = evaluation_steps(*sequential, 4, ranks);
      Loader loader(std::move(sequential), o);
      for (int64_t step = 0; step < o.num_steps; ++step) {
        const Batch& batch = loader.next()[0];
        if (r == 0) total += batch.total_weight;
        for (int64_t i = 0; i < batch.num_tokens(); ++i) {
          weight += batch.weights.f32()[i];
          if (batch.weights.f32()[i] > 0) ++seen[static_cast<size_t>(batch.targets.i32()[i])];
        }
      }
      EXPECT_THROW(loader.next(), Bug);
    }
    EXPECT_EQ(weight, static_cast<double>(data_.num_tokens() - 1));
    EXPECT_EQ(total, weight);
    EXPECT_EQ(seen[0], 0);
    EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), data_.num_tokens() - 1);
    EXPECT_EQ(*std::max_element(seen.begin(), seen.end()), 1);
  }
}

TEST_F(LoaderTest, ErrorOfTheReaderComesOutOfNext) {
  const IndexedDataset narrow(dir_.path("t"), 200);
  Loader loader(std::make_unique<SequentialOrder>(narrow, DocumentRange{0, narrow.num_documents()}, kLength),
                options(4, 4));
  int64_t steps = 0;
  try {
    for (;; ++steps) loader.next();
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("has the id 200, the vocabulary has 200 ids"), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(steps, 8);  // 32 windows end before id 200
  EXPECT_THROW(loader.next(), IoError);
}

TEST_F(LoaderTest, BatchSizesMustDivide) {
  try {
    Loader loader(order(), options(4, 12, 0, 2));
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("data.global_batch_size is 12, expected a multiple of 8"),
              std::string::npos);
  }
}

TEST_F(LoaderTest, EndsWithoutBeingRead) { Loader loader(order(), options(2, 4)); }

}  // namespace
}  // namespace trireme
