// trireme data samples: what a run will see, as text.
#include "app/commands.h"
#include "app/make_data.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "data/sampler.h"

namespace trireme {
namespace {

Json sample_json(int64_t index, std::span<const int32_t> ids, const std::string& text) {
  Json row = Json::object();
  row["sample"] = index;
  row["ids"] = Json::array();
  for (const int32_t id : ids) row["ids"].push_back(id);
  row["text"] = text;
  return row;
}

}  // namespace

int cmd_data_samples(CommandLine& line) {
  std::string recipe;
  std::vector<std::string> overrides;
  int64_t first = 0, count = 3;
  bool json = false;
  line.positional("RECIPE", recipe, "YAML file");
  line.positional("KEY=VALUE", overrides, "recipe keys to set", CommandLine::Need::optional);
  line.option("--first", first, "index of the first sample to show, from 0 in the order of training");
  line.option("--count", count, "samples to show");
  line.flag("--json", json, "print one JSON object for each sample");
  line.example("trireme data samples recipes/poetry-tiny.yaml --first 100 --count 2");
  if (!line.parse()) return kDone;

  const RunConfig config = load_recipe(recipe, overrides);
  const int64_t total = config.train.max_steps * config.data.global_batch_size;
  if (first < 0 || count < 0 || first > total - count) {
    throw ConfigError(cat("--first ", first, " --count ", count, ": the run has the samples 0 to ", total - 1));
  }
  ThreadPool pool(static_cast<int>(config.train.threads));
  const Tokenizer tokenizer = ensure_data(config, pool);
  const IndexedDataset data(config.data.prefix, tokenizer.vocab_size());
  const std::unique_ptr<SampleOrder> order = make_training_order(data, config.data, total);
  std::vector<int32_t> window(static_cast<size_t>(config.data.sequence_length) + 1);
  for (int64_t i = first; i < first + count; ++i) {
    order->sample(window, i);
    const std::span<const int32_t> ids = std::span(window).first(static_cast<size_t>(order->num_targets(i)) + 1);
    const std::string text = tokenizer.decode(ids);
    print(json ? sample_json(i, ids, text).dump() + "\n" : cat("==== sample ", i, "\n", text, "\n"));
  }
  return kDone;
}

}  // namespace trireme
