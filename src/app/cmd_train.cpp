// trireme train: a recipe becomes a run.
#include <optional>

#include "app/commands.h"
#include "app/ranks.h"
#include "app/run_config.h"
#include "app/standard_io.h"
#include "app/training_run.h"
#include "app/validate.h"
#include "base/error.h"
#include "base/log.h"
#include "tokenizer/folder.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

/// The plan of a run whose tokenizer may not have been trained yet: its vocabulary is then the one asked for.
std::string planned(const RunConfig& config, ModelConfig model) {
  if (model.vocab_size == 0) {
    model.vocab_size = has_tokenizer(config.tokenizer.path) ? Tokenizer::load(config.tokenizer.path).vocab_size()
                                                            : config.tokenizer.vocab_size;
  }
  ThreadPool pool(static_cast<int>(config.train.threads));
  return Engine::plan(engine_config(config, model), PlannedRanks(config.parallel).groups(), pool).str();
}

std::string resolved(const RunConfig& config, const std::string& recipe) {
  return cat("# ", recipe, ", recipe hash ", recipe_hash(config), "\n", dump_recipe(config));
}

/// Rank 0 checks the recipe before the others look at it, so that what is wrong with it is told once.
int train(const std::string& recipe, const std::vector<std::string>& overrides, Ranks& ranks) {
  if (ranks.rank() != 0) ranks.meet();
  const RunConfig config = load_recipe(recipe, overrides, ranks.size());
  const ModelConfig model = read_model(config, recipe);
  validate(config, model, recipe, ranks.size());
  if (ranks.rank() == 0) {
    print(resolved(config, recipe));
    ranks.meet();
  }
  return run_training(config, model, ranks) == TrainEnd::stopped ? kStopped : kDone;
}

}  // namespace

int cmd_train(CommandLine& line) {
  std::string recipe;
  std::vector<std::string> overrides;
  bool dry_run = false;
  line.positional("RECIPE", recipe, "YAML file; `trireme docs keys` lists its keys");
  line.positional("KEY=VALUE", overrides, "recipe keys to set, as train.max_steps=500", CommandLine::Need::optional);
  line.flag("--dry-run", dry_run, "print the resolved recipe and the plan, start nothing");
  line.example("trireme train recipes/poetry-tiny.yaml train.max_steps=500 optimizer.lr=6e-4");
  if (!line.parse()) return kDone;

  std::optional<Launched> launched = read_environment();
  if (dry_run) {
    if (launched && launched->world.place.rank != 0) return kDone;
    const RunConfig config = load_recipe(recipe, overrides, launched ? launched->world.place.world_size : 1);
    const ModelConfig model = read_model(config, recipe);
    validate(config, model, recipe, config.parallel.world_size());
    print(cat(resolved(config, recipe), planned(config, model)));
    return kDone;
  }
  Ranks ranks(std::move(launched));
  return ranks.run([&] { return train(recipe, overrides, ranks); });
}

}  // namespace trireme
