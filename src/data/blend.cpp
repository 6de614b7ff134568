#include "data/blend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr int64_t kCycle = int64_t{1} << 16;  // weights are met to within 1 in 65,536
constexpr double kSurplus = 0.005;

}  // namespace

std::vector<BlendSource> parse_blend(std::span<const std::string> words) {
  std::vector<BlendSource> sources;
  for (const std::string& word : words) {
    BlendSource source{word, 1};
    const size_t colon = word.rfind(':');
    double weight = 0;
    if (colon != std::string::npos && parse_real(word.substr(colon + 1), weight)) {
      source = {word.substr(0, colon), weight};
      if (!(weight > 0) || !std::isfinite(weight))
        throw ConfigError(cat("'", word, "': expected PREFIX:WEIGHT with a weight above 0"));
    }
    sources.push_back(std::move(source));
  }
  return sources;
}

BlendOrder::BlendOrder(std::vector<std::unique_ptr<SampleOrder>> orders, std::span<const double> weights, int64_t cycle)
    : orders_(std::move(orders)), places_(static_cast<size_t>(cycle)), counts_(orders_.size()) {
  double sum = 0;
  for (const double weight : weights) sum += weight;
  for (int64_t i = 0; i < cycle; ++i) {
    const double done = std::max(static_cast<double>(i), 1.0);
    size_t furthest = 0;
    double most = -std::numeric_limits<double>::infinity();
    for (size_t set = 0; set < counts_.size(); ++set) {
      const double behind = weights[set] / sum * done - static_cast<double>(counts_[set]);
      if (behind > most) most = behind, furthest = set;
    }
    places_[static_cast<size_t>(i)] = {static_cast<uint32_t>(furthest), static_cast<uint32_t>(counts_[furthest]++)};
  }
  samples_per_epoch_ = std::numeric_limits<int64_t>::max();
  for (size_t set = 0; set < counts_.size(); ++set) {
    const double share = weights[set] / sum;
    const double through = static_cast<double>(orders_[set]->samples_per_epoch()) / share;
    samples_per_epoch_ = std::min(samples_per_epoch_, std::max<int64_t>(1, static_cast<int64_t>(through)));
  }
}

int64_t BlendOrder::num_targets(int64_t i) const { return orders_[place(i).set]->num_targets(index(i)); }

void BlendOrder::sample(std::span<int32_t> out, int64_t i) { orders_[place(i).set]->sample(out, index(i)); }

std::unique_ptr<SampleOrder> make_blend_order(std::span<const IndexedDataset> sets,
                                              std::span<const BlendSource> sources, const DataConfig& config,
                                              DataPart part, int64_t num_samples) {
  if (sets.size() == 1) return make_order(sets[0], config, part, num_samples);
  double sum = 0;
  for (const BlendSource& source : sources) sum += source.weight;
  std::vector<std::unique_ptr<SampleOrder>> orders;
  std::vector<double> weights;
  for (size_t i = 0; i < sets.size(); ++i) {
    weights.push_back(sources[i].weight);
    const double share = std::ceil(static_cast<double>(num_samples) * (sources[i].weight / sum));
    orders.push_back(make_order(sets[i], config, part, static_cast<int64_t>(std::ceil(share * (1 + kSurplus)))));
  }
  const int64_t cycle = config.order == DataOrder::trireme ? kCycle : num_samples;
  return std::make_unique<BlendOrder>(std::move(orders), weights, cycle);
}

}  // namespace trireme
