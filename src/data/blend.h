// Samples of several data sets by weight. Which set sample i comes from is a function of the weights and i alone, each
// set's own order one of the seed: at every place the set is taken that is furthest behind its share (Megatron-LM's
// blending rule), so any stretch of samples holds the shares to within a sample or so.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/sampler.h"

namespace trireme {

struct BlendSource {
  std::string prefix;
  double weight = 1;
  bool operator==(const BlendSource&) const = default;
};

/// Reads PREFIX:WEIGHT, or PREFIX of weight 1. ConfigError where a weight is not above 0.
std::vector<BlendSource> parse_blend(std::span<const std::string> words);

class BlendOrder : public SampleOrder {
 public:
  /// The pattern of `cycle` places is repeated for ever; at least one order.
  BlendOrder(std::vector<std::unique_ptr<SampleOrder>> orders, std::span<const double> weights, int64_t cycle);

  /// Samples until the set is through that is first.
  int64_t samples_per_epoch() const override { return samples_per_epoch_; }
  int64_t num_targets(int64_t i) const override;
  void sample(std::span<int32_t> out, int64_t i) override;

  struct Place {
    uint32_t set = 0, number = 0;  // number: of the samples of this set in the cycle
  };
  Place place(int64_t i) const { return places_[static_cast<size_t>(i % cycle())]; }
  /// Which sample of its own order that is.
  int64_t index(int64_t i) const { return i / cycle() * counts_[place(i).set] + place(i).number; }

 private:
  int64_t cycle() const { return static_cast<int64_t>(places_.size()); }

  std::vector<std::unique_ptr<SampleOrder>> orders_;
  std::vector<Place> places_;
  std::vector<int64_t> counts_;  // of each set in a cycle
  int64_t samples_per_epoch_ = 0;
};

/// The order of config.order over the same part of each set, whose prefixes `sources` has; `sets` must outlive it.
/// Under the orders of other systems a set is asked for 0.5 % more samples than its share of `num_samples`, as they do.
std::unique_ptr<SampleOrder> make_blend_order(std::span<const IndexedDataset> sets,
                                              std::span<const BlendSource> sources, const DataConfig& config,
                                              DataPart part, int64_t num_samples);

}  // namespace trireme
