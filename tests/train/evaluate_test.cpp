#include "train/evaluate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/plain_model.h"
#include "support/temp_dir.h"
#include "support/tiny_models.h"
#include "support/token_files.h"

namespace trireme {
namespace {

/// Token files of uneven documents.
class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() {
    for (const int64_t length : {9, 1, 31, 14, 2, 25, 8}) {
      std::vector<int32_t>& ids = documents.emplace_back();
      for (int64_t i = 0; i < length; ++i)
        ids.push_back(
            static_cast<int32_t>(RandomKey::of(5, 1).draw(documents.size(), static_cast<uint64_t>(i))[0] % 51));
    }
    testing::write_token_files(dir.path("tokens"), documents);
  }
  EvalResult evaluate(int64_t length, int64_t batch, DocumentRange part, int64_t max_batches = 0) {
    EngineConfig c;
    c.model = testing::tiny_llama(0.2);
    c.micro_batch_size = batch;
    c.sequence_length = length;
    c.micro_batches = 0;
    c.seed = 3;
    Engine engine(c, groups, pool);
    engine.initialise();
    const IndexedDataset tokens(dir.path("tokens"), 51);
    return evaluate_part(engine, tokens, part, {.sequence_length = length, .micro_batch_size = batch}, max_batches,
                         single);
  }

  /// Sum of the losses of a window's targets: logits of a plain forward pass, softmax in double.
  double window_loss(std::span<const int32_t> ids) {
    const std::vector<float> logits = plain.logits(ids.first(ids.size() - 1));
    double sum = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const float* row = &logits[i * 51];
      double total = 0;
      for (size_t v = 0; v < 51; ++v) total += std::exp(static_cast<double>(row[v]));
      sum += std::log(total) - row[ids[i + 1]];
    }
    return sum;
  }

  testing::TempDir dir;
  std::vector<std::vector<int32_t>> documents;
  SingleGroup single;
  Groups groups = Groups::alone(single);
  ThreadPool pool{1};
  testing::PlainModel plain{testing::tiny_llama(), 3};
};

TEST_F(EvaluateTest, IsTheMeanOverEveryTargetWhateverTheBatch) {
  const DocumentRange part{1, 6};
  std::vector<int32_t> ids;
  for (int64_t d = part.begin; d < part.end; ++d)
    ids.insert(ids.end(), documents[static_cast<size_t>(d)].begin(), documents[static_cast<size_t>(d)].end());
  for (const size_t length : {7U, 16U}) {
    double sum = 0;
    for (size_t at = 0; at + 1 < ids.size(); at += length)
      sum += window_loss(std::span(ids).subspan(at, std::min(length + 1, ids.size() - at)));
    const double expected = sum / static_cast<double>(ids.size() - 1);
    for (const int64_t batch : {1, 2, 3, 5, 64}) {
      const EvalResult result = evaluate(static_cast<int64_t>(length), batch, part);
      EXPECT_EQ(result.targets, static_cast<int64_t>(ids.size()) - 1);
      // A loss is a log-sum-exp of f32 logits: about log2(51) sums and one exp deep, some units in the last place.
      EXPECT_NEAR(result.loss, expected, 8 * 0x1p-24 * expected) << "length " << length << ", batch " << batch;
    }
  }
}

TEST_F(EvaluateTest, MaxBatchesTakesTheFirstOnes) {
  const EvalResult some = evaluate(8, 2, {0, 7}, 2);
  EXPECT_EQ(some.targets, 32);
  EXPECT_NE(some.loss, evaluate(8, 2, {0, 7}).loss);
  EXPECT_EQ(evaluate(8, 2, {0, 7}, 1000).loss, evaluate(8, 2, {0, 7}).loss);
}

TEST_F(EvaluateTest, NothingToPredictIsAConfigError) {
  EXPECT_THROW(evaluate(8, 2, {1, 2}), ConfigError);
  EXPECT_THROW(evaluate(8, 2, {3, 3}), ConfigError);
}

}  // namespace
}  // namespace trireme
