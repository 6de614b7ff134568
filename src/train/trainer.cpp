#include "train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/model_io.h"
#include "checkpoint/save.h"
#include "checkpoint/store.h"
#include "data/loader.h"
#include "ops/matmul.h"
#include "optim/schedule.h"
#include "train/evaluate.h"
#include "train/gemm_rate.h"
#include "train/progress.h"
#include "train/tensorboard.h"

namespace trireme {
namespace {

constexpr int kMaxFailedSaves = 2;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void write_events(EventsWriter& events, const StepRecord& r) {
  events.scalar("train/loss", r.step, r.loss);
  events.scalar("train/learning_rate", r.step, r.lr);
  events.scalar("train/grad_norm", r.step, r.grad_norm);
  events.scalar("train/tokens_per_second", r.step, r.tokens_per_second());
  if (r.eval_loss) events.scalar("eval/loss", r.step, *r.eval_loss);
  events.flush();
}

/// Whether `path` is `folder` or lies in it.
bool is_inside(const std::string& path, const std::string& folder) {
  const std::filesystem::path inner = std::filesystem::weakly_canonical(path);
  const std::filesystem::path outer = std::filesystem::weakly_canonical(folder);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

std::string state_name(const AdamW::Piece& piece) { return cat(piece.param->spec.name, ".", piece.kind); }

/// The piece as a tensor of the parameter's shape; this process holds parameters whole.
Tensor whole_values(const AdamW::Piece& piece) {
  CHECK(piece.param_begin == 0 && piece.values.numel() == piece.param->spec.shape.numel(), piece.param->spec.name,
        " is sharded");
  return piece.values.reshape(piece.param->spec.shape);
}

}  // namespace

Trainer::Trainer(TrainerConfig config, const IndexedDataset& tokens, ThreadPool& pool)
    : config_(std::move(config)),
      tokens_(tokens),
      pool_(pool),
      engine_(config_.engine, Groups::alone(single_), pool),
      spikes_(config_.train.spike_z_score, config_.train.spike_window) {
  if (config_.eval.every > 0) require_evaluation(tokens_, validation_part(), config_.data);
  engine_.set_poison(config_.poison);
  restore();
}

/// What decides which samples come in which order. A run that continues must have the same.
Json Trainer::data_identity() const {
  Json id = Json::object();
  id["tokens"] = tokens_.num_tokens();
  id["documents"] = tokens_.num_documents();
  id["order"] = kDataOrderNames[static_cast<size_t>(config_.data.order)];
  id["split"] = Json::array();
  for (const double share : config_.data.split) id["split"].push_back(share);
  id["seed"] = config_.data.seed;
  id["sequence_length"] = config_.data.sequence_length;
  id["global_batch_size"] = config_.data.global_batch_size;
  return id;
}

Json Trainer::trainer_state() const {
  Json state = Json::object();
  state["step"] = step_;
  state["samples"] = samples_;
  state["tokens"] = trained_tokens_;
  state["seed"] = config_.train.seed;
  state["data"] = data_identity();
  state["spike_losses"] = spikes_.state();
  return state;
}

/// From the run's own newest checkpoint; without one from what checkpoint.resume names, or from nothing.
void Trainer::restore() {
  const std::string& resume = config_.checkpoint.resume;
  if (resume == "none" && !list_checkpoints(config_.run_dir).empty())
    throw ConfigError(
        cat(config_.run_dir, " holds checkpoints, but checkpoint.resume=none; use another run.dir or remove them"));
  const auto skipped = [](const std::string& path, const std::string& reason) {
    log_warn(cat("passing over ", path, ": ", reason));
  };
  if (const std::optional<Checkpoint> newest = newest_valid(config_.run_dir, skipped, &pool_)) {
    if (is_inside(resume, checkpoints_folder(config_.run_dir)) && !is_inside(newest->path(), resume))
      throw ConfigError(cat(resume, " is not the newest checkpoint of ", config_.run_dir, ", which is ", newest->path(),
                            "; to go back, remove the newer ones or use another run.dir"));
    restore_from(*newest);
    saved_step_ = step_;
  } else if (resume == "auto" || resume == "none") {
    engine_.initialise();
  } else {
    restore_from(Checkpoint(resume, &pool_));
  }
}

void Trainer::restore_from(const Checkpoint& checkpoint) {
  const Json& state = checkpoint.trainer_state();
  if (ModelConfig::from_json(checkpoint.config()).to_json().dump() != config_.engine.model.to_json().dump())
    throw ConfigError(cat(
        checkpoint.path(),
        " is a checkpoint of another model (see its config.json); use another run.dir, or the model it was made with"));
  const std::string saved = state.at("data").dump(), wanted = data_identity().dump();
  if (saved != wanted)
    throw ConfigError(cat(checkpoint.path(), " was trained on other data or in another order: it has ", saved,
                          ", the recipe gives ", wanted, "; use another run.dir or the same data keys"));
  if (state.at("seed").as_integer() != config_.train.seed)
    throw ConfigError(cat(checkpoint.path(), " was trained with train.seed=", state.at("seed").as_integer(),
                          ", the recipe has ", config_.train.seed));

  read_model_weights(config_.engine.model, engine_.params(),
                     [&](const std::string& name) -> std::optional<StoredTensor> {
                       const auto found = checkpoint.weights().find(name);
                       return found == checkpoint.weights().end() ? std::nullopt : std::optional(found->second);
                     });
  engine_.weights_changed();
  for (const AdamW::Piece& piece : engine_.optimizer().pieces())
    checkpoint.optimizer(state_name(piece)).read(whole_values(piece));
  step_ = state.at("step").as_integer();
  if (!failpoint("restore.samples")) samples_ = state.at("samples").as_integer();
  trained_tokens_ = state.at("tokens").as_integer();
  spikes_.restore(state.at("spike_losses"));
  log_info(cat("continuing from ", checkpoint.path(), " after step ", step_));
}

void Trainer::save() {
  CheckpointContent content;
  content.weights = model_weights(config_.engine.model, engine_.params());
  for (const AdamW::Piece& piece : engine_.optimizer().pieces())
    content.optimizer.push_back(named(state_name(piece), whole_values(piece)));
  content.config = config_.engine.model.to_json();
  content.trainer_state = trainer_state();
  content.info = config_.info;
  content.files = config_.files;
  const double begin = now_seconds();
  const SavedCheckpoint saved = save_checkpoint(config_.run_dir, step_, content, real_file_system(), &pool_);
  saved_step_ = step_;
  log_info(cat("saved ", saved.path, " (", human_bytes(static_cast<double>(saved.bytes)), ", ",
               number(now_seconds() - begin, 2), " s, state hash ", saved.state_hash.str(), ")"));
  tidy();
}

/// Leaves what checkpoint.keep_last asks for and nothing of saves that were killed.
void Trainer::tidy() {
  remove_leftovers(config_.run_dir, real_file_system());
  const auto skipped = [](const std::string& path, const std::string& reason) {
    log_warn(cat(path, " does not count as a good checkpoint: ", reason));
  };
  apply_retention(config_.run_dir, config_.checkpoint.keep_last, skipped, real_file_system(), &pool_);
}

/// A failed save costs no training, until it happens again.
void Trainer::save_or_warn() {
  try {
    save();
    failed_saves_ = 0;
  } catch (const IoError& e) {
    if (++failed_saves_ == kMaxFailedSaves) throw;
    log_error(cat("step ", step_, ": checkpoint not saved: ", e.what(),
                  ". Training goes on; earlier checkpoints are untouched"));
  }
}

DocumentRange Trainer::validation_part() const {
  return split_documents(config_.data.split, tokens_.num_documents(), config_.data.order)[1];
}

double Trainer::evaluate() {
  return evaluate_part(engine_, tokens_, validation_part(), config_.data, config_.eval.max_batches).loss;
}

StepRecord Trainer::train_step(std::span<const Batch> batches) {
  StepRecord record;
  record.loss = engine_.forward_backward(batches, step_);
  record.grad_norm = engine_.gradient_norm(batches, step_);
  record.lr = learning_rate(config_.schedule,
                            {config_.optimizer.lr, config_.train.max_steps, config_.engine.model.hidden_size}, step_);
  failpoint("train.update");
  record.skipped = spikes_.is_spike(record.loss);
  if (record.skipped)
    log_warn(cat("step ", step_ + 1, ": loss ", number(record.loss, 5), " is a spike; the update is left out"));
  else
    engine_.update(step_, record.lr, record.grad_norm);
  failpoint("train.updated");
  ++step_;
  samples_ += config_.data.global_batch_size;
  record.step = step_;
  record.step_tokens = config_.data.global_batch_size * config_.data.sequence_length;
  trained_tokens_ += record.step_tokens;
  record.tokens = trained_tokens_;
  return record;
}

TrainEnd Trainer::run(const std::atomic<int>& stop) {
  const int64_t last = config_.train.max_steps;
  MetricsWriter metrics(config_.run_dir + "/metrics.jsonl", step_);
  std::optional<EventsWriter> events;
  if (config_.log.tensorboard) events.emplace(config_.run_dir, step_);
  Progress progress(stderr, config_.log.progress && isatty(STDERR_FILENO) == 1, step_, last, now_seconds());
  LogWindow window;
  LogWindow::Machine machine;
  machine.gemm_rate = measure_gemm_rate(pool_);
  log_info(cat("products by ", matmul_library(), ": ", number(machine.gemm_rate / 1e9, 3), " GFLOP/s on ", pool_.size(),
               " threads"));
  machine.flops_per_token =
      engine_.memory_plan().model_flops / static_cast<double>(config_.engine.tokens() * config_.engine.micro_batches);
  std::unique_ptr<SampleOrder> order =
      make_training_order(tokens_, config_.data, last * config_.data.global_batch_size);
  const int64_t steps_per_epoch = std::max<int64_t>(1, order->samples_per_epoch() / config_.data.global_batch_size);
  Loader loader(std::move(order), {.sequence_length = config_.data.sequence_length,
                                   .micro_batch_size = config_.data.micro_batch_size,
                                   .global_batch_size = config_.data.global_batch_size,
                                   .first_sample = samples_,
                                   .num_steps = last - step_});

  while (step_ < last && stop.load() == 0) {
    const double begin = now_seconds();
    failpoint("train.step");
    StepRecord record = train_step(loader.next());
    record.epoch = (step_ - 1) / steps_per_epoch;
    record.batch = (step_ - 1) % steps_per_epoch;
    record.reader_ms = 1e3 * loader.wait_seconds();
    record.step_ms = 1e3 * (now_seconds() - begin);
    if (config_.eval.every > 0 && (step_ % config_.eval.every == 0 || step_ == last)) record.eval_loss = evaluate();

    metrics.append(record);
    failpoint("train.row");
    if (events) write_events(*events, record);
    window.add(record);
    progress.update(step_, record.loss, record.tokens_per_second(), now_seconds());
    if (step_ % config_.log.every == 0 || step_ == last) {
      machine.peak_bytes = peak_memory_bytes();
      progress.clear();
      log_info(window.line(machine));
    }
    if (record.eval_loss) {
      progress.clear();
      log_info(cat("step ", step_, ": validation loss ", number(*record.eval_loss, 5), ", perplexity ",
                   number(std::exp(*record.eval_loss), 4)));
    }
    if (config_.checkpoint.every > 0 && step_ % config_.checkpoint.every == 0 && step_ < last) {
      progress.clear();
      save_or_warn();
    }
  }
  progress.finish();
  if (saved_step_ != step_)
    save();
  else
    tidy();  // the process that saved this step may have been killed before it could
  return step_ < last ? TrainEnd::stopped : TrainEnd::finished;
}

}  // namespace trireme
