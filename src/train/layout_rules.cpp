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
    {"more tensor ranks than key-value heads", "every rank needs a head",
     [](const LayoutFacts& f) { return f.parallel.tensor > f.model->num_key_value_heads; },
     [](const LayoutFacts& f) {
       return cat("parallel.tensor=", f.parallel.tensor, " is more than the model's ", f.model->num_key_value_heads,
                  " key-value heads: some rank would have none");
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
