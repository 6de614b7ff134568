// Layouts that are refused before anything starts, one rule each. The engine asks here, so does whoever checks a
// recipe, and the table in the documentation is printed from it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "exec/config.h"
#include "models/config.h"
#include "optim/config.h"

namespace trireme {

/// What the rules look at.
struct LayoutFacts {
  ParallelConfig parallel;
  const ModelConfig* model = nullptr;
};

struct LayoutRule {
  const char* layout;                                // what is refused, for the table
  const char* reason;                                // why, for the table
  bool (*refuses)(const LayoutFacts& facts);         // whether it is
  std::string (*message)(const LayoutFacts& facts);  // for the user: the keys with their values, and what to do
};
std::span<const LayoutRule> layout_rules();

/// One message for each rule that refuses this layout; empty: it can be trained.
std::vector<std::string> layout_problems(const LayoutFacts& facts);

/// Why precision.linear_dtype=float8 cannot be, with `tokens` of a micro-batch on a rank; empty: it can, or was not
/// asked for.
std::string float8_problem(const PrecisionConfig& precision, int64_t tokens);

/// Why precision.grad_dtype cannot be what it is; empty: it can.
std::string grad_dtype_problem(const PrecisionConfig& precision, const ParallelConfig& parallel);

/// The rules as a Markdown table.
std::string layout_rules_table();

}  // namespace trireme
