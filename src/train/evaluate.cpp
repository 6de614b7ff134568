#include "train/evaluate.h"

#include <algorithm>

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
                         int64_t max_batches) {
  auto order = std::make_unique<SequentialOrder>(tokens, part, data.sequence_length);
  int64_t steps = evaluation_steps(*order, data.micro_batch_size, 1);
  if (steps == 0) nothing_to_predict(tokens);
  if (max_batches > 0) steps = std::min(steps, max_batches);
  Loader loader(std::move(order), {.sequence_length = data.sequence_length,
                                   .micro_batch_size = data.micro_batch_size,
                                   .global_batch_size = data.micro_batch_size,
                                   .num_steps = steps});
  double sum = 0, weight = 0;
  for (int64_t i = 0; i < steps; ++i) {
    const Batch& batch = loader.next()[0];
    sum += engine.evaluate(batch);
    weight += batch.total_weight;
  }
  return {sum / weight, static_cast<int64_t>(weight)};
}

}  // namespace trireme
