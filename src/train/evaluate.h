// The loss of a model over held-out documents: each target once, weighted equally.
#pragma once

#include "data/sampler.h"
#include "train/engine.h"

namespace trireme {

struct EvalResult {
  double loss = 0;  // mean over the targets, in nats
  int64_t targets = 0;
};

/// ConfigError where `part` holds nothing to predict: to be found out before training, not at its end.
void require_evaluation(const IndexedDataset& tokens, DocumentRange part, const DataConfig& data);

/// Reads the documents of `part` in their order, as windows of data.sequence_length; `max_batches` micro-batches, 0:
/// all. The micro-batches are dealt to the ranks of `dp`, and added up in their order: the result, equal on all ranks,
/// is that of one rank where each batch's is. ConfigError where the part has nothing to predict.
EvalResult evaluate_part(Engine& engine, const IndexedDataset& tokens, DocumentRange part, const DataConfig& data,
                         int64_t max_batches, Group& dp);

}  // namespace trireme
