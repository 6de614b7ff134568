// A whole run in a fraction of a second: a text, a recipe with everything on that carries state from step to step
// (dropout, accumulation, spike skip, evaluation, retention), and what two equal runs must have in common.
#pragma once

#include <string>
#include <vector>

#include "app/run.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/strings.h"
#include "checkpoint/store.h"
#include "system/child.h"

namespace trireme::testing {

constexpr int64_t kTinySteps = 30, kTinyCheckpointEvery = 7, kTinyKeepLast = 2;

inline std::string tiny_text(int documents = 30) {
  static constexpr const char* kWords[] = {"the", "oar", "bank", "sea", "wind", "old", "rows", "ship", "sail", "and"};
  std::string text;
  for (int d = 0; d < documents; ++d) {
    for (int w = 0; w < 30; ++w)
      text += cat(w == 0 ? "" : " ",
                  kWords[RandomKey::of(3, 1).draw(static_cast<uint64_t>(d), static_cast<uint64_t>(w))[0] % 10]);
    text += "\n%\n";
  }
  return text;
}

/// Writes DIR/text.txt and DIR/recipe.yaml of a run in DIR/run; returns the recipe's path.
inline std::string write_tiny_recipe(const std::string& dir) {
  write_file(dir + "/text.txt", tiny_text());
  write_file(dir + "/recipe.yaml",
             cat("model: {model_type: gpt2, n_embd: 16, n_layer: 2, n_head: 2, n_positions: 16, resid_pdrop: 0.1, "
                 "embd_pdrop: 0.1, attn_pdrop: 0.1}\n"
                 "run: {dir: ",
                 dir,
                 "/run}\n"
                 "tokenizer: {vocab_size: 280}\n"
                 "data: {source: ",
                 dir,
                 "/text.txt, document_separator: \"%\", split: [80, 20, 0], sequence_length: 16, "
                 "micro_batch_size: 2, global_batch_size: 4}\n"
                 "train: {max_steps: ",
                 kTinySteps,
                 ", threads: 2, spike_z_score: 1.0, spike_window: 8}\n"
                 "eval: {every: 10, max_batches: 3}\n"
                 "optimizer: {lr: 3e-2}\n"
                 "schedule: {kind: cosine, warmup: 4, min_lr: 1e-3}\n"
                 "checkpoint: {every: ",
                 kTinyCheckpointEvery, ", keep_last: ", kTinyKeepLast,
                 "}\n"
                 "log: {every: 10}\n"));
  return dir + "/recipe.yaml";
}

/// What does not depend on the clock: the rows of metrics.jsonl without times, and the final state's hash.
struct RunRecord {
  std::vector<std::string> rows;
  std::string verified;  // "step N state-hash HEX"
};

inline std::vector<std::string> metrics_rows(const std::string& run_dir) {
  std::vector<std::string> rows;
  for (const std::string& line : split(read_file(run_dir + "/metrics.jsonl"), '\n')) {
    if (line.empty()) continue;
    const Json row = Json::parse(line, run_dir + "/metrics.jsonl");
    std::string text;
    for (const char* key : {"step", "epoch", "batch", "loss", "lr", "grad_norm", "tokens", "skipped", "eval_loss",
                            "loss_scale", "skipped_steps"})
      if (const Json* value = row.find(key)) text += cat(key, " ", value->dump(), " ");
    rows.push_back(text);
  }
  return rows;
}

inline RunRecord record_of(const std::string& run_dir) {
  const Outcome verify = run({"verify", run_dir});
  EXPECT_EQ(verify.code, 0) << verify.err;
  return {metrics_rows(run_dir), verify.out};
}

/// The first difference between two runs; empty where there is none.
inline std::string difference(const RunRecord& a, const RunRecord& b) {
  for (size_t i = 0; i < std::min(a.rows.size(), b.rows.size()); ++i)
    if (a.rows[i] != b.rows[i]) return cat("row ", i, ": ", a.rows[i], "\n  and ", b.rows[i]);
  if (a.rows.size() != b.rows.size()) return cat(a.rows.size(), " and ", b.rows.size(), " rows");
  return a.verified == b.verified ? "" : cat(a.verified, " and ", b.verified);
}

/// Trains to the end in a child and expects that it gets there.
inline void train_to_end(const std::string& recipe, const ChildOptions& options = {}) {
  Child child({"train", recipe}, options);
  EXPECT_EQ(child.wait(), 0) << child.err();
}

}  // namespace trireme::testing
