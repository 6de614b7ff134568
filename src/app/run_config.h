// A whole run: the config structs of all components, as read from a recipe (YAML) and `section.key=value` words. Read
// once, validated once; after that each component gets its own struct and nobody sees the whole.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/fields.h"
#include "base/json.h"
#include "checkpoint/config.h"
#include "data/config.h"
#include "device/device.h"
#include "exec/config.h"
#include "optim/config.h"
#include "train/config.h"

namespace trireme {

constexpr uint64_t kLargestRecipe = 1 << 20;  // bytes of a recipe's file

struct RunSection {
  std::string name;  // empty: the recipe's file name without its ending
  std::string dir;   // empty: runs/<name>

  bool operator==(const RunSection&) const = default;
};

struct TokenizerSection {
  std::string path;              // folder of vocab.json and merges.txt; empty: <run.dir>/tokenizer
  int64_t vocab_size = 8192;     // of a tokenizer that has to be trained first
  int64_t min_frequency = 2;     // rarer pairs are not merged in such a tokenizer
  int64_t max_token_length = 0;  // longest token of such a tokenizer in characters; 0: no limit

  bool operator==(const TokenizerSection&) const = default;
};

struct RunConfig {
  std::optional<DeviceKind> device;  // unset: a GPU where there is one, for a run of one process
  RunSection run;
  Json model = Json::object();  // Hugging Face config keys, and `preset` for the name of a shape to start from
  TokenizerSection tokenizer;
  DataConfig data;
  TrainConfig train;
  EvalConfig eval;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  ParallelConfig parallel = {.data = 0};  // 0: what the other axes leave of the processes
  PrecisionConfig precision;
  MemoryConfig memory;
  CheckpointConfig checkpoint;
  LogConfig log;
};

/// Every key but those of `model`, in the order of a printed recipe. Bound to `config`.
std::vector<Field> recipe_fields(RunConfig& config);

/// The recipe in `text` under defaults. ConfigError "WHERE:LINE: ..." for an unknown key (naming the nearest) and for
/// a value of the wrong type or out of range.
RunConfig parse_recipe(std::string_view text, const std::string& where);

/// Sets one key from a command-line word such as "optimizer.lr=6e-4" or "optimizer.betas=[0.9, 0.99]". Values are YAML;
/// free text needs no quotes. ConfigError as above, with "command line" for the place.
void apply_override(RunConfig& config, const std::string& word);

/// Reads the recipe at `path`, applies `overrides` in order, and fills in what is left open, what follows from other
/// keys and from the number of processes: device, run.name, run.dir, tokenizer.path, data.prefix, parallel.data,
/// data.global_batch_size (that of one process, of which each data rank then takes a share). Does not validate.
RunConfig load_recipe(const std::string& path, std::span<const std::string> overrides, int world_size = 1);

/// All keys with their values as YAML; parse_recipe reads it back to an equal config.
std::string dump_recipe(const RunConfig& config);

/// A hash of dump_recipe, for the log and the run folder.
std::string recipe_hash(const RunConfig& config);

/// The table of all keys as Markdown: key, value, default, meaning.
std::string describe_keys();

}  // namespace trireme
