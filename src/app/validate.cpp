#include "app/validate.h"

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/strings.h"
#include "data/blend.h"
#include "device/cuda.h"
#include "optim/schedule.h"
#include "tokenizer/folder.h"
#include "train/layout_rules.h"

namespace trireme {
namespace {

using Problems = std::vector<std::string>;

template <class... Args>
void add(Problems& problems, const Args&... args) {
  problems.push_back(cat(args...));
}

void check_schedule(Problems& problems, const RunConfig& c, const ModelConfig& model) {
  const double peak = peak_learning_rate(c.schedule, {c.optimizer.lr, c.train.max_steps, model.hidden_size});
  if (c.schedule.min_lr > peak) {
    add(problems, "schedule.min_lr (", number(c.schedule.min_lr), ") is above the peak learning rate (", number(peak),
        "): the rate must fall towards it; lower schedule.min_lr or raise optimizer.lr");
  }
}

void check_batch(Problems& problems, const RunConfig& c) {
  const int64_t micro = c.data.micro_batch_size, global = c.data.global_batch_size, ranks = c.parallel.data;
  if (micro > global / ranks || global % (micro * ranks) != 0) {
    add(problems, "data.global_batch_size (", global, ") is not a multiple of data.micro_batch_size x parallel.data (",
        micro, " x ", ranks,
        "): each rank must get the same number of whole micro-batches; set data.global_batch_size, or lower "
        "data.micro_batch_size");
  }
}

void check_data(Problems& problems, const RunConfig& c) {
  const auto& [train, validation, test] = c.data.split;
  if (train <= 0) add(problems, "data.split gives no documents to training: its first share must be above 0");
  if (c.eval.every > 0 && validation <= 0) {
    add(problems,
        "eval.every asks for evaluations, but data.split has no validation share; give it one or set "
        "eval.every: 0");
  }
  if (!c.data.blend.empty() && !c.data.prefix.empty())
    add(problems, "data.prefix (", c.data.prefix, ") has no effect beside data.blend; leave one of them out");
  for (const BlendSource& source : parse_blend(c.data.blend))
    if (!has_token_files(source.prefix))
      add(problems, "data.blend: there are no token files ", source.prefix, "; make them with `trireme prepare`");
  if (c.data.blend.empty() && c.data.source.empty() && !has_token_files(c.data.prefix)) {
    add(problems, "there is nothing to train on: ", c.data.prefix,
        ".idx does not exist; set data.source to a text file "
        "or data.prefix to token files");
  }
}

void check_model(Problems& problems, const RunConfig& c, const ModelConfig& model) {
  if (model.is_gpt2() && c.data.sequence_length > model.max_position_embeddings) {
    add(problems, "data.sequence_length (", c.data.sequence_length, ") is above the model's ",
        model.max_position_embeddings,
        " learned positions: later tokens would have no position; shorten the sequences "
        "or raise model.n_positions");
  }
  if (!has_tokenizer(c.tokenizer.path) && model.vocab_size > 0 && model.vocab_size < c.tokenizer.vocab_size) {
    add(problems, "model.vocab_size (", model.vocab_size, ") is below tokenizer.vocab_size (", c.tokenizer.vocab_size,
        "): some tokens would have no row in the embedding; leave model.vocab_size out to take the tokenizer's");
  }
}

void check_precision(Problems& problems, const RunConfig& c) {
  const PrecisionConfig& p = c.precision;
  if (p.param_dtype != DType::f16 && !(p.scaling == LossScaling())) {
    add(problems, "loss scaling (precision.loss_scale and its kin) is for precision.param_dtype: float16 only; ",
        dtype_name(p.param_dtype), " has the range of float32 and needs none");
  }
  if (p.tf32 && p.param_dtype != DType::f32) {
    add(problems, "precision.tf32 is for precision.param_dtype: float32 only; products of ", dtype_name(p.param_dtype),
        " are made on tensor cores as they are");
  }
  if (p.master != Master::float32 && p.param_dtype != DType::bf16) {
    add(problems, "precision.master: ", kMasterNames[static_cast<size_t>(p.master)],
        " is for precision.param_dtype: bfloat16 only: ",
        p.param_dtype == DType::f32 ? "float32 parameters are their own masters"
                                    : "float16 is no float32 cut short, and updates fall below its smallest numbers");
  }
  if (c.optimizer.moments == Moments::eight_bit && c.optimizer.eps < 1e-12) {
    add(problems, "optimizer.eps (", number(c.optimizer.eps),
        ") is too small for optimizer.moments: 8bit, where roots "
        "of second moments below 1.4e-14 become 0 and updates are divided by eps alone; make it 1e-12 or more");
  }
  const int64_t tokens = c.data.micro_batch_size * c.data.sequence_length / c.parallel.context;
  for (const std::string& problem : {float8_problem(p, tokens), grad_dtype_problem(p, c.parallel)})
    if (!problem.empty()) add(problems, problem);
  const LossScaling& s = p.scaling;
  const double first = std::exp2(static_cast<double>(s.initial_scale_power));
  if (s.loss_scale == 0 && s.min_loss_scale > first) {
    add(problems, "precision.min_loss_scale (", number(s.min_loss_scale), ") is above the first loss scale, 2^",
        s.initial_scale_power, " = ", number(first), "; raise precision.initial_scale_power or lower it");
  }
}

/// The ranks of a layout must be the processes that were started.
void check_processes(Problems& problems, const ParallelConfig& p, int64_t world_size) {
  if (p.world_size() == world_size) return;
  add(problems, "parallel.data x tensor x pipeline x context = ", p.data, " x ", p.tensor, " x ", p.pipeline, " x ",
      p.context, " needs ", p.world_size(), " processes, but there ", world_size == 1 ? "is " : "are ", world_size,
      "; start them with `trireme launch --nproc-per-node ", p.world_size(),
      " -- train ...`, or change the layout (parallel.data may be left out)");
}

void check_layout(Problems& problems, const RunConfig& c, const ModelConfig& model, int64_t world_size) {
  const ParallelConfig& p = c.parallel;
  check_processes(problems, p, world_size);
  for (const std::string& problem : layout_problems({.parallel = p, .model = &model})) add(problems, problem);
  if (p.virtual_pipeline > 1 && p.pipeline == 1) {
    add(problems, "parallel.virtual_pipeline=", p.virtual_pipeline,
        " has no effect with parallel.pipeline=1; set it to 1");
  }
  if (p.zero_stage > 0 && p.data * p.context == 1) {
    add(problems, "parallel.zero_stage = ", p.zero_stage,
        " has no effect with parallel.data = 1 and parallel.context = 1; set it to 0");
  }
  if (p.sequence_parallel && p.tensor == 1) {
    add(problems, "parallel.sequence_parallel has no effect with parallel.tensor = 1; set it to false");
  }
  if (c.device == DeviceKind::cuda && !cuda_problem().empty()) {
    add(problems, "device: cuda, but ", cuda_problem(), "; set device: cpu");
  }
  if (c.device == DeviceKind::cuda && world_size > 1) {
    add(problems, "device: cuda with ", world_size,
        " processes is not supported by this version; use one, or device: cpu");
  }
}

}  // namespace

ModelConfig read_model(const RunConfig& config, const std::string& where) {
  if (config.model.size() == 0) {
    throw ConfigError(cat(where, ": the recipe names no model; add `model: gpt2-124m` or a model section"));
  }
  try {
    return ModelConfig::from_json(config.model);
  } catch (const ConfigError& error) {
    throw ConfigError(cat(where, ": ", error.what()));
  }
}

void validate(const RunConfig& config, const ModelConfig& model, const std::string& where, int64_t world_size) {
  Problems problems;
  check_schedule(problems, config, model);
  check_batch(problems, config);
  check_data(problems, config);
  check_model(problems, config, model);
  check_precision(problems, config);
  check_layout(problems, config, model, world_size);
  if (problems.empty()) return;
  std::string text = where + ":";
  for (const std::string& problem : problems) text += cat(problems.size() > 1 ? "\n  " : " ", problem);
  throw ConfigError(text);
}

}  // namespace trireme
