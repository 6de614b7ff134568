#include "train/layout_rules.h"

#include "base/strings.h"

namespace trireme {
namespace {

int64_t num_units(const ModelConfig& model) { return model.num_hidden_layers + 2; }

constexpr LayoutRule kRules[] = {
    {"ZeRO-2 or ZeRO-3 with a pipeline",
     "a pipeline stage sums its gradients over ranks once a step; summing them, or gathering parameters, for each of "
     "its "
     "many micro-batches would cost more than it saves",
     [](const LayoutFacts& f) { return f.parallel.zero_stage >= 2 && f.parallel.pipeline > 1; },
     [](const LayoutFacts& f) {
       return cat("parallel.zero_stage=", f.parallel.zero_stage, " with parallel.pipeline=", f.parallel.pipeline,
                  " is not supported: gradients of a pipeline stage are summed once a step; use zero_stage 0 or 1");
     }},
    {"more pipeline stages than blocks + 2", "every stage needs a unit: the embedding, a block or the head",
     [](const LayoutFacts& f) { return f.parallel.pipeline * f.parallel.virtual_pipeline > num_units(*f.model); },
     [](const LayoutFacts& f) {
       return cat("parallel.pipeline x parallel.virtual_pipeline = ", f.parallel.pipeline, " x ",
                  f.parallel.virtual_pipeline, " is more than the model's ", num_units(*f.model),
                  " units (embedding, blocks, head): some stage would have nothing to do");
     }},
    {"virtual pipeline stages without a pipeline", "there is nobody to take turns with",
     [](const LayoutFacts& f) { return f.parallel.virtual_pipeline > 1 && f.parallel.pipeline == 1; },
     [](const LayoutFacts& f) {
       return cat("parallel.virtual_pipeline=", f.parallel.virtual_pipeline,
                  " has no effect with parallel.pipeline=1; set it to 1");
     }},
    {"context parallel where 2 x context does not divide the sequence length",
     "each rank has one chunk from the front and one from the back of every sample, all of one length",
     [](const LayoutFacts& f) { return f.parallel.context > 1 && f.sequence_length % (2 * f.parallel.context) != 0; },
     [](const LayoutFacts& f) {
       return cat("data.sequence_length=", f.sequence_length,
                  " is not a multiple of 2 x parallel.context=", 2 * f.parallel.context,
                  ", into so many chunks each sample is cut");
     }},
    {"sequence parallel where tensor does not divide the tokens of a micro-batch",
     "between matrices each tensor rank has equally many tokens",
     [](const LayoutFacts& f) {
       return f.parallel.sequence_parallel &&
              f.micro_batch_size * f.sequence_length / f.parallel.context % f.parallel.tensor != 0;
     },
     [](const LayoutFacts& f) {
       return cat("parallel.sequence_parallel: the ", f.micro_batch_size * f.sequence_length / f.parallel.context,
                  " tokens of a rank's micro-batch are not a multiple of parallel.tensor=", f.parallel.tensor);
     }},
};

}  // namespace

std::span<const LayoutRule> layout_rules() { return kRules; }

std::vector<std::string> layout_problems(const LayoutFacts& facts) {
  std::vector<std::string> problems;
  for (const LayoutRule& rule : kRules)
    if (rule.refuses(facts)) problems.push_back(rule.message(facts));
  return problems;
}

std::string layout_rules_table() {
  std::string table = "| refused | why |\n| --- | --- |\n";
  for (const LayoutRule& rule : kRules) table += cat("| ", rule.layout, " | ", rule.reason, " |\n");
  return table;
}

}  // namespace trireme
