// The loss of a projection and its gradients in double, with the sums of their terms' magnitudes, of which errors of
// rounding are parts.
#pragma once

#include "ops/op_test.h"

namespace trireme::testing {

struct LossReference {
  /// x (n, c), weight (v, c), targets and weights (n).
  LossReference(const Doubles& x, const Doubles& weight, const Doubles& targets, const Doubles& weights, double scale)
      : loss(targets.size()),
        dx(x.size()),
        dweight(weight.size()),
        dx_terms(x.size()),
        dweight_terms(weight.size()),
        logit_terms(targets.size()) {
    const size_t n = targets.size(), c = x.size() / n, v = weight.size() / c;
    Doubles row(v);
    for (size_t r = 0; r < n; ++r) {
      const double* from = x.data() + r * c;
      double terms = 0;
      for (size_t j = 0; j < v; ++j) {
        double logit = 0, magnitude = 0;
        for (size_t k = 0; k < c; ++k) {
          logit += from[k] * weight[j * c + k];
          magnitude += std::abs(from[k] * weight[j * c + k]);
        }
        row[j] = logit;
        terms = std::max(terms, magnitude);
      }
      logit_terms[r] = terms;
      const auto target = static_cast<size_t>(targets[r]);
      const double max = *std::max_element(row.begin(), row.end()), of_target = row[target];
      double sum = 0, others = 0;
      for (size_t j = 0; j < v; ++j) {
        row[j] = std::exp(row[j] - max);
        sum += row[j];
        if (j != target) others += row[j];
      }
      loss[r] = max - of_target + (max == of_target ? std::log1p(others) : std::log(sum));
      const double factor = scale * weights[r] / sum;
      if (factor == 0) continue;
      row[target] = -others;
      for (size_t j = 0; j < v; ++j) {
        const double dlogit = row[j] * factor;
        for (size_t k = 0; k < c; ++k) {
          const double of_x = dlogit * weight[j * c + k], of_weight = dlogit * from[k];
          dx[r * c + k] += of_x;
          dx_terms[r * c + k] += std::abs(of_x);
          dweight[j * c + k] += of_weight;
          dweight_terms[j * c + k] += std::abs(of_weight);
        }
      }
    }
  }

  Doubles loss, dx, dweight;
  Doubles dx_terms, dweight_terms;  // sums of magnitudes
  Doubles logit_terms;              // of each row, the largest of all logits
};

}  // namespace trireme::testing
