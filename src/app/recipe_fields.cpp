// The table of recipe keys. The order here is the order of a printed recipe and of the key reference.
#include "app/run_config.h"
#include "data/blend.h"

namespace trireme {
namespace {

constexpr std::array<std::string_view, 3> kDeviceNames = {"auto", "cpu", "cuda"};             // then as DeviceKind
constexpr std::array<std::string_view, 2> kGradDtypes = {"float32", "bfloat16"};              // as DType
constexpr std::array<std::string_view, 3> kParamDtypes = {"float32", "bfloat16", "float16"};  // as DType

constexpr Bounds kRanks = {1, 1 << 15};  // of an axis: products of four fit into 63 bits

using Fields = std::vector<Field>;

void add_run(Fields& out, RunConfig& c) {
  out.push_back(choice_field(
      "device", kDeviceNames,
      [&c](size_t i) { c.device = i == 0 ? std::nullopt : std::optional(static_cast<DeviceKind>(i - 1)); },
      [&c] { return c.device ? static_cast<size_t>(*c.device) + 1 : 0; },
      "Where the run computes; auto: on a GPU where one is found."));
  out.push_back(text_field("run.name", c.run.name, "Name of the run; default: the recipe's file name."));
  out.push_back(text_field("run.dir", c.run.dir, "Folder of everything the run writes; default: runs/<run.name>."));
}

void add_data(Fields& out, RunConfig& c) {
  out.push_back(text_field("tokenizer.path", c.tokenizer.path,
                           "Folder with vocab.json and merges.txt; made from data.source where missing. Default: "
                           "<run.dir>/tokenizer."));
  out.push_back(integer_field("tokenizer.vocab_size", c.tokenizer.vocab_size, {257, 1 << 24},
                              "Vocabulary of a tokenizer that has to be trained first."));
  out.push_back(integer_field("tokenizer.min_frequency", c.tokenizer.min_frequency, {1, 1 << 30},
                              "How often a pair must occur to become a token of such a tokenizer."));
  out.push_back(
      integer_field("tokenizer.max_token_length", c.tokenizer.max_token_length, {0, 1 << 20},
                    "Longest token of such a tokenizer in characters; 1 suits small Chinese corpora. 0: no limit."));
  DataConfig& d = c.data;
  out.push_back(
      text_field("data.source", d.source,
                 "Text to prepare where the token files are missing: .txt, .jsonl, .json or .csv, also packed "
                 "as .gz or .zst; .parquet; a folder X.lazy or one of CPM."));
  out.push_back(text_field("data.column", d.column,
                           "Column or JSON key of the text in data.source; several joined by + are joined."));
  out.push_back(
      text_field("data.document_separator", d.document_separator,
                 "Line that ends a document of a .txt source, or `blank` for empty lines; empty: the whole file is "
                 "one document."));
  out.push_back(flag_field("data.append_eos", d.append_eos, "End every document with the end-of-text token."));
  out.push_back(text_field("data.prefix", d.prefix,
                           "Token files PREFIX.bin and PREFIX.idx, or those of PaddleFleetX or llm.c. Default: "
                           "<run.dir>/data/tokens."));
  Field blend = texts_field("data.blend", d.blend,
                            "Several token files instead of data.prefix, each PREFIX:WEIGHT; samples come from all of "
                            "them by weight, split set by set.");
  blend.set = [set = std::move(blend.set), &d](const Json& json) {
    set(json);
    parse_blend(d.blend);
  };
  out.push_back(std::move(blend));
  out.push_back(
      reals_field("data.split", d.split, at_least(0), "Shares of train, validation and test documents, in any unit."));
  out.push_back(integer_field("data.sequence_length", d.sequence_length, {1, 1 << 24}, "Tokens of one sample, T."));
  out.push_back(integer_field("data.micro_batch_size", d.micro_batch_size, {1, 1 << 20},
                              "Samples that go through the model at once, B."));
  out.push_back(integer_field("data.global_batch_size", d.global_batch_size, {0, 1 << 30},
                              "Samples of one optimizer step; default (0): data.micro_batch_size, of which each "
                              "data-parallel rank then takes its share."));
  out.push_back(integer_field("data.seed", d.seed, at_least(0), "Seed of the order of samples."));
  out.push_back(choice_field("data.order", d.order, kDataOrderNames,
                             "Order of samples: ours, or that of another system for the same files and seed."));
}

void add_training(Fields& out, RunConfig& c) {
  out.push_back(integer_field("train.max_steps", c.train.max_steps, {1, 1 << 30}, "Optimizer steps of the whole run."));
  out.push_back(integer_field("train.seed", c.train.seed, at_least(0), "Seed of initial values and dropout."));
  out.push_back(
      integer_field("train.threads", c.train.threads, {0, 1024}, "CPU threads; 0: one for each available core."));
  out.push_back(flag_field("train.deterministic", c.train.deterministic,
                           "The same bits from every run of a recipe on one kind of GPU, at some cost of speed; a CPU "
                           "gives them always."));
  out.push_back(real_field("train.spike_z_score", c.train.spike_z_score, at_least(0),
                           "Skip a step whose loss lies this many standard deviations above the recent mean; 0: "
                           "never."));
  out.push_back(integer_field("train.spike_window", c.train.spike_window, {8, 1 << 20},
                              "Steps over which the mean and the deviation for train.spike_z_score are taken."));
  out.push_back(integer_field("eval.every", c.eval.every, at_least(0),
                              "Steps between evaluations on the validation split; 0: none."));
  out.push_back(integer_field("eval.max_batches", c.eval.max_batches, at_least(0),
                              "Micro-batches of one evaluation; 0: the whole split."));
  OptimizerConfig& o = c.optimizer;
  out.push_back(choice_field("optimizer.name", o.name, kOptimizerNames, "Update rule."));
  out.push_back(real_field("optimizer.lr", o.lr, above(0), "Peak learning rate."));
  out.push_back(
      reals_field("optimizer.betas", o.betas, {0, 1, false, true}, "Decay of the first and the second moment."));
  out.push_back(real_field("optimizer.eps", o.eps, above(0), "Added to the root of the second moment."));
  out.push_back(
      real_field("optimizer.weight_decay", o.weight_decay, at_least(0), "Decoupled weight decay, on matrices only."));
  out.push_back(choice_field("optimizer.moments", o.moments, kMomentsNames,
                             "How the two moments are kept; in bfloat16 and 8bit rounded up or down by chance."));
  out.push_back(real_field("optimizer.clip_grad_norm", o.clip_grad_norm, at_least(0),
                           "Largest global norm of the gradient; 0: no clipping."));
  ScheduleConfig& s = c.schedule;
  out.push_back(choice_field("schedule.kind", s.kind, kScheduleNames, "Shape of the learning rate over the steps."));
  out.push_back(real_field("schedule.warmup", s.warmup, at_least(0),
                           "Steps of linear warm-up; below 1: a fraction of train.max_steps."));
  out.push_back(real_field("schedule.min_lr", s.min_lr, at_least(0), "Learning rate at the end, or its floor."));
  out.push_back(real_field("schedule.decay", s.decay, {0, 1, true, false},
                           "wsd only: fraction of train.max_steps that the final decay takes."));
}

void add_layout(Fields& out, RunConfig& c) {
  ParallelConfig& p = c.parallel;
  out.push_back(integer_field("parallel.data", p.data, {0, kRanks.high},
                              "Replicas that train on different samples; default (0): what the other axes leave of the "
                              "processes."));
  out.push_back(integer_field("parallel.tensor", p.tensor, kRanks, "Ranks that share each matrix."));
  out.push_back(integer_field("parallel.pipeline", p.pipeline, kRanks, "Ranks that share the list of blocks."));
  out.push_back(integer_field("parallel.virtual_pipeline", p.virtual_pipeline, kRanks,
                              "Pieces of the model on each pipeline rank, which take turns (interleaved 1F1B): less "
                              "waiting, more memory and messages."));
  out.push_back(integer_field("parallel.context", p.context, kRanks, "Ranks that share each sequence."));
  out.push_back(integer_field("parallel.zero_stage", p.zero_stage, {0, 3},
                              "Sharded over data-parallel ranks: 1 optimizer state, 2 also gradients, 3 also "
                              "parameters."));
  out.push_back(
      flag_field("parallel.sequence_parallel", p.sequence_parallel,
                 "Split norms, dropout and the residual stream over the tokens inside a tensor-parallel group."));
  out.push_back(choice_field("precision.param_dtype", c.precision.param_dtype, kParamDtypes,
                             "Storage of parameters and activations; sums are always float32."));
  PrecisionConfig& s = c.precision;
  out.push_back(
      choice_field("precision.master", s.master, kMasterNames,
                   "What updates of 16-bit parameters are added to: float32 copies; bfloat16 only: remainder, "
                   "the 16 bits that make the parameters such copies, or none, parameters that are rounded up "
                   "or down by chance."));
  out.push_back(choice_field("precision.linear_dtype", s.linear_dtype, kLinearDtypeNames,
                             "bfloat16 only: float8 multiplies 8-bit floats in the blocks' linear layers, values as "
                             "e4m3 and gradients as e5m2, each tensor with a scale of its own."));
  out.push_back(
      choice_field("precision.grad_dtype", s.grad_dtype, kGradDtypes,
                   "How gradients of matrices that multiply (linear layers, an untied head) are summed over a step's "
                   "micro-batches; bfloat16, of bfloat16 parameters on one rank only, rounds what each adds and the "
                   "sum: for few micro-batches a step. All others are float32."));
  out.push_back(flag_field("precision.tf32", s.tf32,
                           "float32 on a GPU only: products round their operands to TF32 (10 bits behind the leading "
                           "one), which tensor cores multiply several times as fast; sums stay float32."));
  out.push_back(real_field("precision.loss_scale", s.scaling.loss_scale, at_least(0),
                           "float16: factor on the loss, so that small gradients are not lost; 0: found in training."));
  out.push_back(integer_field("precision.initial_scale_power", s.scaling.initial_scale_power, {0, 32},
                              "The first factor so found is 2 to this power."));
  out.push_back(integer_field("precision.loss_scale_window", s.scaling.loss_scale_window, at_least(1),
                              "Steps without overflow after which the factor is doubled."));
  out.push_back(integer_field("precision.hysteresis", s.scaling.hysteresis, at_least(1),
                              "Overflows until the factor is halved; each leaves out its step."));
  out.push_back(flag_field("precision.consecutive_hysteresis", s.scaling.consecutive_hysteresis,
                           "Only overflows in a row count for precision.hysteresis."));
  out.push_back(real_field("precision.min_loss_scale", s.scaling.min_loss_scale, above(0),
                           "Smallest such factor; an overflow at it ends the run."));
  out.push_back(choice_field("memory.recompute", c.memory.recompute, kRecomputeNames,
                             "What backward computes again instead of keeping it."));
}

void add_records(Fields& out, RunConfig& c) {
  out.push_back(integer_field("checkpoint.every", c.checkpoint.every, at_least(0),
                              "Steps between checkpoints; 0: only after the last step."));
  out.push_back(flag_field("checkpoint.background", c.checkpoint.background,
                           "Write checkpoints while training goes on: steps wait for a copy of the state only, which "
                           "takes memory of its own."));
  out.push_back(integer_field("checkpoint.keep_last", c.checkpoint.keep_last, at_least(0),
                              "Newest checkpoints that stay on disk; 0: all."));
  out.push_back(text_field("checkpoint.resume", c.checkpoint.resume,
                           "auto: continue from the newest good checkpoint of the run; none: refuse a folder that has "
                           "one; else the checkpoint from which a run without its own starts."));
  out.push_back(integer_field("log.every", c.log.every, at_least(1), "Steps between log lines."));
  out.push_back(flag_field("log.tensorboard", c.log.tensorboard, "Also write TensorBoard events."));
  out.push_back(flag_field("log.progress", c.log.progress, "Draw a progress bar where stderr is a terminal."));
}

}  // namespace

std::vector<Field> recipe_fields(RunConfig& config) {
  Fields fields;
  add_run(fields, config);
  add_data(fields, config);
  add_training(fields, config);
  add_layout(fields, config);
  add_records(fields, config);
  return fields;
}

}  // namespace trireme
