// trireme train: a recipe becomes a run.
#include "app/commands.h"
#include "app/make_tokenizer.h"
#include "app/run_config.h"
#include "app/standard_io.h"
#include "app/training_run.h"
#include "app/validate.h"
#include "base/error.h"
#include "comm/group.h"
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
  SingleGroup single;
  return Engine::plan(engine_config(config, model), {&single, &single, &single, &single}, pool).str();
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

  const RunConfig config = load_recipe(recipe, overrides);
  const ModelConfig model = read_model(config, recipe);
  validate(config, model, recipe);
  print(cat("# ", recipe, ", recipe hash ", recipe_hash(config), "\n", dump_recipe(config)));
  if (dry_run) {
    print(planned(config, model));
    return kDone;
  }
  return run_training(config, model) == TrainEnd::stopped ? kStopped : kDone;
}

}  // namespace trireme
