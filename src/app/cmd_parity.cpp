// trireme parity: the user's own recipe on every layout that fits this machine, beside one rank in float32.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "app/commands.h"
#include "app/make_data.h"
#include "app/ranks.h"
#include "app/standard_io.h"
#include "app/training_run.h"
#include "app/validate.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "data/token_tables.h"
#include "tokenizer/folder.h"
#include "train/metrics.h"
#include "train/parity.h"
#include "train/progress.h"

namespace trireme {
namespace {

constexpr int64_t kMostRanks = 64;  // threads of this process

/// A folder that goes with this object.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((std::filesystem::temp_directory_path() / "trireme-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) throw IoError(cat("cannot make the folder ", path_, "; set TMPDIR"));
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct RunData {
  Tokenizer tokenizer;
  IndexedDataset tokens;
};

/// The recipe's tokenizer and token files. What is missing is made elsewhere: a run's folder is for its run. What has
/// been opened stays readable when its folder goes.
RunData open_data(RunConfig config, ThreadPool& pool) {
  if (!config.data.blend.empty())
    throw ConfigError("parity compares layouts on one data set; leave data.blend out, or give data.prefix instead");
  const TemporaryFolder aside;
  if (!has_tokenizer(config.tokenizer.path)) config.tokenizer.path = aside.path() + "/tokenizer";
  if (!has_token_files(config.data.prefix)) config.data.prefix = aside.path() + "/tokens";
  Tokenizer tokenizer = ensure_data(config, pool);
  IndexedDataset tokens(config.data.prefix, tokenizer.vocab_size());
  return {std::move(tokenizer), std::move(tokens)};
}

struct Candidate {
  ParallelConfig parallel;
  std::string refused;  // why it is not run; empty: it is
};

/// Why this layout is not run here; empty where it is.
std::string refusal(const ParityTask& task, const ParallelConfig& parallel, int64_t max_ranks, ThreadPool& pool) {
  if (parallel.world_size() > max_ranks)
    return cat("it has ", parallel.world_size(), " ranks, more than --max-ranks ", max_ranks);
  try {
    const MemoryPlan plan = Engine::plan(parity_engine(task, parallel), PlannedRanks(parallel).groups(), pool);
    const double needed = static_cast<double>(plan.total() * parallel.world_size()), free = free_memory_bytes();
    return needed <= free ? "" : cat("its ranks need ", human_bytes(needed), ", ", human_bytes(free), " are free");
  } catch (const ConfigError& e) {
    return e.what();
  }
}

/// The layouts that the user names, or the recipe's own and all others.
std::vector<ParallelConfig> wanted_layouts(const RunConfig& recipe, const std::vector<std::string>& named,
                                           int64_t max_ranks) {
  std::vector<ParallelConfig> layouts;
  for (const std::string& name : named) {
    RunConfig config;
    config.parallel = {};
    for (const std::string& word : split(name, ',')) apply_override(config, cat("parallel.", trim(word)));
    config.parallel.data = std::max<int64_t>(1, config.parallel.data);
    layouts.push_back(config.parallel);
  }
  if (!named.empty()) return layouts;
  layouts = all_layouts(max_ranks);
  if (std::find(layouts.begin(), layouts.end(), recipe.parallel) == layouts.end()) layouts.push_back(recipe.parallel);
  return layouts;
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

/// What becomes of the layouts, told as it becomes known: rows of a table, or one JSON object at the end.
class Report {
 public:
  Report(bool json, const std::vector<Candidate>& candidates) : json_(json) {
    for (const Candidate& c : candidates) width_ = std::max(width_, layout_name(c.parallel).size());
    for (const char* list : {"layouts", "refused"}) all_[list] = Json::array();
  }

  void begin(const std::string& recipe, const ParityTask& task, const ParityRun& reference, const ParityBound& bound) {
    const int64_t steps = task.steps, samples = task.data.global_batch_size, length = task.data.sequence_length;
    all_["recipe"] = recipe;
    all_["steps"] = steps;
    all_["bound"] = Json::object();
    all_["bound"]["loss"] = bound.loss;
    all_["bound"]["norm"] = bound.norm;
    all_["reference"] = Json::object();
    for (const auto& [name, values] : {std::pair{"losses", &reference.losses}, std::pair{"norms", &reference.norms}}) {
      all_["reference"][name] = Json::array();
      for (const double value : *values) all_["reference"][name].push_back(value);
    }
    say(cat(recipe, ": ", steps, steps == 1 ? " step" : " steps", " of ", samples, " x ", length,
            " tokens, relative to one rank in float32 (losses ", number(reference.losses.front(), 6), " to ",
            number(reference.losses.back(), 6), ")\nallowed for each step that lies behind: loss ",
            number(bound.loss, 2), ", gradient norm ", number(bound.norm, 2), " (",
            dtype_name(task.engine.precision.param_dtype), ", ", task.engine.model.num_hidden_layers,
            " blocks, sums of up to ", bound.longest, " terms; docs/design/train.md)\n\n| ", padded("layout", width_),
            " | ranks | loss    | norm    | of what is allowed |\n| ", std::string(width_, '-'),
            " | ----- | ------- | ------- | ------------------ |\n"));
  }

  void add(const ParallelConfig& parallel, const ParityDistance& d) {
    Json row = Json::object();
    row["layout"] = layout_name(parallel);
    row["ranks"] = parallel.world_size();
    row["loss"] = d.loss;
    row["norm"] = d.norm;
    row["of_bound"] = d.of_bound;
    row["equal"] = d.of_bound <= 1;
    all_["layouts"].push_back(row);
    equal_ = equal_ && d.of_bound <= 1;
    worst_.loss = std::max(worst_.loss, d.loss);
    worst_.norm = std::max(worst_.norm, d.norm);
    ++compared_;
    say(cat(
        "| ", padded(layout_name(parallel), width_), " | ", padded(cat(parallel.world_size()), 5), " | ",
        padded(number(d.loss, 2), 7), " | ", padded(number(d.norm, 2), 7), " | ",
        padded(d.of_bound <= 1 ? cat(number(100 * d.of_bound, 2), " %") : cat(number(d.of_bound, 3), " x: NOT EQUAL"),
               18),
        " |\n"));
  }

  void refuse(const Candidate& c) {
    Json row = Json::object();
    row["layout"] = layout_name(c.parallel);
    row["reason"] = c.refused;
    all_["refused"].push_back(row);
    say(cat(all_["refused"].size() == 1 ? "\nnot run:\n" : "", "  ", layout_name(c.parallel), ": ", c.refused, "\n"));
  }

  /// Whether all layouts that ran are equal.
  bool finish() {
    all_["equal"] = equal_;
    if (json_) print(all_.dump() + "\n");
    say(cat("\n", compared_, " layouts ", equal_ ? "train like" : "compared, and not all train like",
            " one rank; worst: loss ", number(worst_.loss, 2), ", gradient norm ", number(worst_.norm, 2), "\n"));
    return equal_;
  }

 private:
  void say(const std::string& text) const {
    if (!json_) print(text);
  }
  bool json_, equal_ = true;
  size_t width_ = 6;
  int compared_ = 0;
  ParityDistance worst_;
  Json all_ = Json::object();
};

ParityTask make_task(const RunConfig& config, const ModelConfig& model, int64_t steps, const ThreadPool& pool) {
  ParityTask task{.engine = engine_config(config, model),
                  .data = config.data,
                  .schedule = config.schedule,
                  .max_steps = config.train.max_steps,
                  .steps = steps,
                  .threads = pool.size()};
  task.engine.copies_to_save = false;
  if (steps < 1 || steps > task.max_steps)
    throw ConfigError(cat("--steps is ", steps, ", expected 1 to ", task.max_steps, ", the recipe's train.max_steps"));
  return task;
}

/// The task in float32, without recompute.
ParityTask in_float32(ParityTask task) {
  task.engine.precision = {};
  task.engine.memory.recompute = Recompute::none;
  return task;
}

bool compare_layouts(const std::string& recipe, ParityTask task, const IndexedDataset& tokens,
                     const std::vector<Candidate>& candidates, bool json) {
  const int64_t runs = std::count_if(candidates.begin(), candidates.end(), [](auto& c) { return c.refused.empty(); });
  double begin = now_seconds();
  Progress progress(stderr, isatty(STDERR_FILENO) == 1, 0, runs + 2, begin);
  int64_t done = 0;
  const auto run = [&](const ParityTask& what, const ParallelConfig& parallel) {
    const ParityRun result = run_parity(what, parallel, tokens);
    const double end = now_seconds(),
                 trained = static_cast<double>(what.steps * task.data.global_batch_size * task.data.sequence_length);
    progress.update(++done, result.losses.back(), trained / (end - std::exchange(begin, end)), end);
    progress.clear();
    return result;
  };
  ParityTask first = in_float32(task);
  first.steps = 1;
  task = with_smooth_updates(std::move(task), run(first, {}));
  const ParityRun reference = run(in_float32(task), {});
  const ParityBound bound = parity_bound(task);
  Report report(json, candidates);
  report.begin(recipe, task, reference, bound);
  for (const Candidate& c : candidates)
    if (c.refused.empty()) report.add(c.parallel, parity_distance(reference, run(task, c.parallel), bound));
  for (const Candidate& c : candidates)
    if (!c.refused.empty()) report.refuse(c);
  return report.finish();
}

}  // namespace

int cmd_parity(CommandLine& line) {
  std::string recipe;
  std::vector<std::string> overrides, named;
  int64_t steps = 3, max_ranks = 4;
  bool json = false;
  line.positional("RECIPE", recipe, "YAML file, as for `trireme train`; its run folder is left alone");
  line.positional("KEY=VALUE", overrides, "recipe keys to set, as precision.param_dtype=bfloat16",
                  CommandLine::Need::optional);
  line.option("--steps", steps, "steps on each layout");
  line.option("--max-ranks", max_ranks, "ranks of a layout at most; they are threads of this process, on the CPU");
  line.option("--layouts", named, "only this one, as tensor=2,pipeline=2; may be given several times");
  line.flag("--json", json, "print one JSON object");
  line.example("trireme parity recipes/poetry-tiny.yaml --layouts data=2 --layouts tensor=2,sequence_parallel=true");
  if (!line.parse()) return kDone;
  if (max_ranks < 1 || max_ranks > kMostRanks)
    throw ConfigError(cat("--max-ranks is ", max_ranks, ", expected 1 to ", kMostRanks));

  RunConfig config = load_recipe(recipe, overrides);
  config.device = DeviceKind::cpu;
  ModelConfig model = read_model(config, recipe);
  validate(config, model, recipe, config.parallel.world_size());
  ThreadPool pool(static_cast<int>(config.train.threads));
  const RunData data = open_data(config, pool);
  set_vocabulary(model, data.tokenizer);
  const ParityTask task = make_task(config, model, steps, pool);
  std::vector<Candidate> candidates;
  for (const ParallelConfig& parallel : wanted_layouts(config, named, max_ranks))
    candidates.push_back({parallel, refusal(task, parallel, named.empty() ? max_ranks : kMostRanks, pool)});
  return compare_layouts(recipe, task, data.tokens, candidates, json) ? kDone : kFailed;
}

}  // namespace trireme
