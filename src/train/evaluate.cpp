#include "train/evaluate.h"

#include <algorithm>

#include "base/numeric.h"
#include "data/loader.h"

namespace trireme {
namespace {

[[noreturn]] void nothing_to_predict(const IndexedDataset& tokens) {
  throw ConfigError(
      cat(tokens.prefix(),
          ": the documents to evaluate on hold nothing to predict: give validation a larger share of data.split, "
          "or set eval.every: 0"));
}

}  // namespace

void require_evaluation(const IndexedDataset& tokens, DocumentRange part, const DataConfig& data) {
  if (SequentialOrder(tokens, part, data.sequence_length).samples_per_epoch() == 0) nothing_to_predict(tokens);
}

EvalResult evaluate_part(Engine& engine, const IndexedDataset& tokens, DocumentRange part, const DataConfig& data,
                         int64_t max_batches, Group& dp) {
  auto order = std::make_unique<SequentialOrder>(tokens, part, data.sequence_length);
  int64_t batches = evaluation_steps(*order, data.micro_batch_size, 1);
  if (batches == 0) nothing_to_predict(tokens);
  if (max_batches > 0) batches = std::min(batches, max_batches);
  const int64_t rounds = ceil_div(batches, dp.size());
  Loader loader(std::move(order), {.sequence_length = data.sequence_length,
                                   .micro_batch_size = data.micro_batch_size,
                                   .global_batch_size = data.micro_batch_size * dp.size(),
                                   .dp_rank = dp.rank(),
                                   .dp_size = dp.size(),
                                   .num_steps = rounds});
  double sum = 0, weight = 0;
  std::vector<double> all(2 * static_cast<size_t>(dp.size()));
  for (int64_t i = 0; i < rounds; ++i) {
    const Batch& batch = loader.next()[0];
    double mine[2] = {engine.evaluate(batch), 0};
    for (int64_t n = 0; n < batch.num_tokens(); ++n) mine[1] += static_cast<double>(batch.weights.f32()[n]);
    dp.all_gather(Tensor(all.data(), DType::f64, kCpu, {2 * dp.size()}), Tensor(mine, DType::f64, kCpu, {2}));
    for (int64_t r = 0; r < std::min<int64_t>(dp.size(), batches - i * dp.size()); ++r) {
      sum += all[2 * static_cast<size_t>(r)];
      weight += all[2 * static_cast<size_t>(r) + 1];
    }
  }
  return {sum / weight, static_cast<int64_t>(weight)};
}

}  // namespace trireme
