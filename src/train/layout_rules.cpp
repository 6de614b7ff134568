#include "train/layout_rules.h"

#include "base/strings.h"

namespace trireme {
namespace {

/// What there is least of among the things that tensor ranks deal out, each of which needs one.
struct Scarcest {
  int64_t count;
  const char* what;
};
Scarcest scarcest(const ModelConfig& model) {
  Scarcest least{model.num_attention_heads, "query heads"};
  if (model.intermediate_size < least.count) least = {model.intermediate_size, "MLP channels"};
  const bool known = model.vocab_size > 0;  // or it is read from a tokenizer later
  if (known && model.vocab_size < least.count) least = {model.vocab_size, "tokens of the vocabulary"};
  return least;
}

constexpr LayoutRule kRules[] = {
    {"ZeRO-2 or ZeRO-3 with a pipeline",
     "a pipeline stage sums its gradients over ranks once a step; summing them, or gathering parameters, for each of "
     "its many micro-batches would cost more than it saves",
     [](const LayoutFacts& f) { return f.parallel.zero_stage >= 2 && f.parallel.pipeline > 1; },
     [](const LayoutFacts& f) {
       return cat("parallel.zero_stage=", f.parallel.zero_stage, " with parallel.pipeline=", f.parallel.pipeline,
                  " is not supported: gradients of a pipeline stage are summed once a step; use zero_stage 0 or 1");
     }},
    {"more tensor ranks than query heads, channels between the matrices of an MLP, or tokens of the vocabulary",
     "every rank needs a part of every matrix",
     [](const LayoutFacts& f) { return f.parallel.tensor > scarcest(*f.model).count; },
     [](const LayoutFacts& f) {
       const Scarcest least = scarcest(*f.model);
       return cat("parallel.tensor=", f.parallel.tensor, " is more than the model's ", least.count, " ", least.what,
                  ": some rank would have no part of a matrix");
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

std::string float8_problem(const PrecisionConfig& precision, int64_t tokens) {
  if (precision.linear_dtype != LinearDtype::float8) return "";
  if (precision.param_dtype != DType::bf16)
    return cat("precision.linear_dtype: float8 is for precision.param_dtype: bfloat16 only, not ",
               dtype_name(precision.param_dtype));
  if (tokens % 16 == 0) return "";
  return cat("precision.linear_dtype: float8 multiplies along the tokens of a micro-batch, 16 at a time, but ", tokens,
             " are on a rank; choose data.micro_batch_size and data.sequence_length so that they are a multiple of 16");
}

std::string grad_dtype_problem(const PrecisionConfig& precision, const ParallelConfig& parallel) {
  if (precision.grad_dtype == DType::f32) return "";
  if (precision.param_dtype != DType::bf16)
    return cat("precision.grad_dtype: bfloat16 is for precision.param_dtype: bfloat16 only, not ",
               dtype_name(precision.param_dtype), "; leave it out");
  if (precision.linear_dtype == LinearDtype::float8)
    return "precision.grad_dtype: bfloat16 with precision.linear_dtype: float8 is not supported: sums of products of "
           "8-bit floats for a bfloat16 keep fewer bits on the way; leave one of them out";
  if (parallel.world_size() * parallel.virtual_pipeline == 1 && parallel.zero_stage == 0) return "";
  return cat(
      "precision.grad_dtype: bfloat16 is for one rank without ZeRO: gradients are summed over ranks in float32 "
      "(ranks: ",
      parallel.world_size(), ", parallel.zero_stage: ", parallel.zero_stage, "); leave it out");
}

std::string layout_rules_table() {
  std::string table = "| refused | why |\n| --- | --- |\n";
  for (const LayoutRule& rule : kRules) table += cat("| ", rule.layout, " | ", rule.reason, " |\n");
  return table;
}

}  // namespace trireme
