// A model that is fed tokens and answers with logits, keeping keys and values of what it has seen. The same units as in
// training, with arenas planned for inference, on one process or on the tensor and pipeline ranks that trained it.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "checkpoint/shards.h"
#include "comm/mesh.h"
#include "device/cuda.h"
#include "exec/runner.h"
#include "models/config.h"
#include "models/model.h"
#include "params/param_store.h"

namespace trireme {

struct DecoderConfig {
  ModelConfig model;
  DType param_dtype = DType::f32;
  int sequences = 1;     // side by side
  int64_t capacity = 0;  // tokens of each, prompt included
  int64_t choices = 0;   // tokens that step_likeliest() chooses from: the first ones; 0: all
  Device device = kCpu;
  CudaOptions gpu = {};
};

class Decoder {
 public:
  /// `groups`: the ranks that share the model (tp, pp), all of which make the same calls and get the same logits; null:
  /// this process alone.
  Decoder(const DecoderConfig& config, ThreadPool& pool, const Groups* groups = nullptr);

  /// The weights; before the first token. IoError where they do not fit the model.
  void load(const WeightFiles& files);
  /// For weights that come from elsewhere.
  ParamTable& params() { return model_.params; }

  /// Appends `tokens` (not empty) to sequence `s`. Returns the logits (1, V) after the last one, valid until the next
  /// call. On the CPU, wherever the model runs.
  Tensor prefill(int s, std::span<const int32_t> tokens);
  /// Appends tokens[i] to sequence sequences[i]. Returns logits (n, V), valid until the next call.
  Tensor step(std::span<const int> sequences, std::span<const int32_t> tokens);
  /// The same, but returns each sequence's likeliest token (ops/likeliest.h), which is found where the model runs.
  std::span<const int32_t> step_likeliest(std::span<const int> sequences, std::span<const int32_t> tokens);
  /// Forgets sequence `s`.
  void reset(int s) { lengths_[static_cast<size_t>(s)] = 0; }

  /// Where its ops run.
  CudaContext* cuda() const { return cuda_.get(); }
  int64_t length(int s) const { return lengths_[static_cast<size_t>(s)]; }
  int64_t capacity() const { return config_.capacity; }

 private:
  struct Arenas {
    Arena keep, temp, stream;
  };
  /// What a step of some number of sequences asks a GPU for, noted when it is asked for the second time.
  struct StepGraph {
    int64_t steps = 0;
    CudaGraphPtr graph;
  };
  struct Inputs {
    Buffer memory;
    Tensor tokens, positions, cache_rows, sample_ids;  // (max_tokens_)
    int64_t bytes = 0;                                 // of those that change
  };
  void plan();
  void make_cache();
  struct Result {
    Tensor logits, ids;  // (rows, V) f32; (rows) i32: the likeliest, where asked for
  };
  Result result(int64_t rows, bool chooses) const;
  void run(Ctx ctx, Arenas& arenas, const Batch& batch, int64_t first_logit_row, const Result& result);
  Stream run_units(Ctx& ctx, Arenas& arenas, const Batch& batch);
  Inputs make_inputs(Device device) const;
  Batch batch(int64_t n, bool decodes);
  void run_step(std::span<const int> sequences, std::span<const int32_t> tokens, const Result& result);
  Tensor to_host(const Tensor& result);
  void append(int64_t row, int s, std::span<const int32_t> tokens, std::vector<Segment>& segments);

  DecoderConfig config_;
  ThreadPool& pool_;
  SingleGroup single_;
  Groups groups_;
  CudaContextPtr cuda_;
  Model model_;
  StageRange stage_;  // the units of this rank
  std::optional<ModelLayout> layout_;
  std::optional<ParamStore> params_;
  std::vector<Buffer> cache_;  // k and v of each layer of this rank
  std::vector<KvView> views_;  // by layer
  std::vector<int64_t> lengths_;
  int64_t max_tokens_;           // of one pass through the units
  Inputs host_inputs_, inputs_;  // inputs_: copies on a GPU
  std::vector<Segment> segments_;
  Arenas arenas_;
  Buffer results_, host_results_;          // logits, then ids
  std::optional<PinnedMemory> pinned_;     // host_results_
  std::vector<StepGraph> step_graphs_[2];  // by whether the likeliest is asked for; by sequences
};

}  // namespace trireme
