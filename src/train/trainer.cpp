#include "train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/store.h"
#include "data/loader.h"
#include "device/cuda.h"
#include "ops/matmul.h"
#include "optim/schedule.h"
#include "train/evaluate.h"
#include "train/gemm_rate.h"
#include "train/progress.h"
#include "train/state.h"
#include "train/tensorboard.h"

namespace trireme {
namespace {

constexpr int kMaxFailedSaves = 2;

void write_events(EventsWriter& events, const StepRecord& r) {
  events.scalar("train/loss", r.step, r.loss);
  events.scalar("train/learning_rate", r.step, r.lr);
  events.scalar("train/grad_norm", r.step, r.grad_norm);
  if (r.loss_scale) events.scalar("train/loss_scale", r.step, *r.loss_scale);
  events.scalar("train/tokens_per_second", r.step, r.tokens_per_second());
  if (r.eval_loss) events.scalar("eval/loss", r.step, *r.eval_loss);
  events.flush();
}

/// Of this process, or all that is in use on the GPU: what runs there is allocated before the first step.
double peak_memory(Device device) {
  if (device == kCpu) return peak_memory_bytes();
  const CudaMemory memory = cuda_memory(device.index);
  return static_cast<double>(memory.total - memory.free);
}

/// Whether `path` is `folder` or lies in it.
bool is_inside(const std::string& path, const std::string& folder) {
  const std::filesystem::path inner = std::filesystem::weakly_canonical(path);
  const std::filesystem::path outer = std::filesystem::weakly_canonical(folder);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

/// What rank 0 tells about the steps: rows, curves, a bar, lines.
class Records {
 public:
  Records(const TrainerConfig& config, int64_t steps_done)
      : config_(config),
        metrics_(config.run_dir + "/metrics.jsonl", steps_done),
        progress_(stderr, config.log.progress && isatty(STDERR_FILENO) == 1, steps_done, config.train.max_steps,
                  now_seconds()) {
    if (config.log.tensorboard) events_.emplace(config.run_dir, steps_done);
  }

  LogWindow::Machine& machine() { return machine_; }

  void add(const StepRecord& record) {
    metrics_.append(record);
    failpoint("train.row");
    if (events_) write_events(*events_, record);
    window_.add(record);
    progress_.update(record.step, record.loss, record.tokens_per_second(), now_seconds());
    if (record.step % config_.log.every == 0 || record.step == config_.train.max_steps) {
      machine_.peak_bytes = peak_memory(config_.engine.device);
      say(window_.line(machine_));
    }
    if (record.eval_loss)
      say(cat("step ", record.step, ": validation loss ", number(*record.eval_loss, 5), ", perplexity ",
              number(std::exp(*record.eval_loss), 4)));
  }
  /// Before something else is printed.
  void clear() { progress_.clear(); }
  void finish() { progress_.finish(); }

 private:
  void say(const std::string& line) {
    progress_.clear();
    log_info(line);
  }

  const TrainerConfig& config_;
  MetricsWriter metrics_;
  std::optional<EventsWriter> events_;
  Progress progress_;
  LogWindow window_;
  LogWindow::Machine machine_;
};

}  // namespace

Trainer::Trainer(TrainerConfig config, const Groups& groups, std::span<const IndexedDataset> tokens, ThreadPool& pool)
    : config_(std::move(config)),
      tokens_(tokens),
      pool_(pool),
      groups_(groups),
      engine_(config_.engine, groups, pool),
      spikes_(config_.train.spike_z_score, config_.train.spike_window) {
  for (const IndexedDataset& set : tokens_)
    if (config_.eval.every > 0) require_evaluation(set, validation_part(set), config_.data);
  engine_.set_poison(config_.poison);
  CHECK(config_.engine.copies_to_save == config_.checkpoint.background, "a copy to be saved that is not planned");
  if (config_.checkpoint.background)
    background_.emplace(engine_.memory_plan().save_copy, *groups_.io, real_file_system());
  restore();
}

/// What decides which samples come in which order. A run that continues must have the same.
Json Trainer::data_identity() const {
  Json id = Json::object();
  const std::vector<BlendSource> sources = parse_blend(config_.data.blend);
  CHECK(tokens_.size() == std::max<size_t>(1, sources.size()), tokens_.size(), " sets for ", sources.size(),
        " sources");
  Json sets = Json::array();
  for (size_t s = 0; s < tokens_.size(); ++s) {
    Json set = Json::object();
    set["tokens"] = tokens_[s].num_tokens();
    set["documents"] = tokens_[s].num_documents();
    if (tokens_.size() > 1) set["weight"] = sources[s].weight;
    sets.push_back(std::move(set));
  }
  if (tokens_.size() > 1) {
    id["blend"] = std::move(sets);
  } else {
    id = sets.items()[0];
  }
  id["order"] = kDataOrderNames[static_cast<size_t>(config_.data.order)];
  id["split"] = Json::array();
  for (const double share : config_.data.split) id["split"].push_back(share);
  id["seed"] = config_.data.seed;
  id["sequence_length"] = config_.data.sequence_length;
  id["global_batch_size"] = config_.data.global_batch_size;
  return id;
}

Json Trainer::trainer_state() {
  Json state = Json::object();
  state["step"] = step_;
  state["samples"] = samples_;
  state["tokens"] = trained_tokens_;
  state["seed"] = config_.train.seed;
  state["data"] = data_identity();
  state["spike_losses"] = spikes_.state();
  state["loss_scaler"] = engine_.loss_scaler().state();
  return state;
}

void warn_passed_over(const std::string& path, const std::string& reason) {
  log_warn(cat("passing over ", path, ": ", reason));
}

/// The path of the checkpoint to go on from: the run's own newest one, but for those that turned out to be damaged;
/// without one what checkpoint.resume names; empty where there is neither.
std::string Trainer::checkpoint_to_resume(const std::vector<std::string>& damaged) const {
  const std::string& resume = config_.checkpoint.resume;
  if (resume == "none" && !list_checkpoints(config_.run_dir).empty())
    throw ConfigError(
        cat(config_.run_dir, " holds checkpoints, but checkpoint.resume=none; use another run.dir or remove them"));
  if (const std::optional<Checkpoint> newest =
          newest_valid(config_.run_dir, warn_passed_over, &pool_, Check::read, damaged)) {
    if (is_inside(resume, checkpoints_folder(config_.run_dir)) && !is_inside(newest->path(), resume))
      throw ConfigError(cat(resume, " is not the newest checkpoint of ", config_.run_dir, ", which is ", newest->path(),
                            "; to go back, remove the newer ones or use another run.dir"));
    return newest->path();
  }
  return resume == "auto" || resume == "none" ? "" : Checkpoint(resume, &pool_, Check::read).path();
}

/// Every rank reads what it keeps of the checkpoint, and checks what it reads. Damage that any of them finds sends all
/// to the one before.
void Trainer::restore() {
  std::vector<std::string> damaged;
  for (;;) {
    const std::string path = broadcast_text(*groups_.io, first_rank() ? checkpoint_to_resume(damaged) : "", 0);
    if (path.empty()) return engine_.initialise();
    const bool own = is_inside(path, checkpoints_folder(config_.run_dir));
    try {
      std::optional<Checkpoint> checkpoint;
      do_together(*groups_.io, [&] { checkpoint.emplace(path, &pool_, Check::read); });
      restore_from(*checkpoint);
      if (own) saved_step_ = step_;
      return;
    } catch (const IoError& e) {
      if (!own) throw;
      if (first_rank()) warn_passed_over(path, e.what());
      damaged.push_back(path);
    }
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

  restore_state(engine_, checkpoint);
  step_ = state.at("step").as_integer();
  if (!failpoint("restore.samples")) samples_ = state.at("samples").as_integer();
  trained_tokens_ = state.at("tokens").as_integer();
  spikes_.restore(state.at("spike_losses"));
  if (const Json* scaler = state.find("loss_scaler")) engine_.loss_scaler().restore(*scaler);  // older ones have none
  log_info(cat("continuing from ", checkpoint.path(), " after step ", step_));
}

RankState Trainer::state() {
  RankState state = engine_state(engine_);
  state.trainer_state = trainer_state();
  state.info = config_.info;
  state.files = config_.files;
  return state;
}

void Trainer::save() {
  const double begin = now_seconds();
  if (config_.checkpoint.background) {
    background_->start(config_.run_dir, step_, state(), pool_, [this] { tidy(nullptr); });
    pending_step_ = step_;
    if (first_rank()) log_info(cat("step ", step_, ": copied in ", number(now_seconds() - begin, 2), " s to be saved"));
    return;
  }
  const SavedCheckpoint saved = save_state(config_.run_dir, step_, state(), real_file_system(), &pool_, *groups_.io);
  report(saved, step_, now_seconds() - begin);
  tidy_together();
  failed_saves_ = 0;
}

/// Waits for what is being written in the background.
void Trainer::collect() {
  if (!background_ || !background_->under_way()) return;
  const double begin = now_seconds();
  if (const std::optional<SavedCheckpoint> saved = background_->finish())
    report(*saved, pending_step_, now_seconds() - begin);
  failed_saves_ = 0;
}

void Trainer::report(const SavedCheckpoint& saved, int64_t step, double seconds) {
  saved_step_ = step;
  if (first_rank())
    log_info(cat("saved ", saved.path, " (", human_bytes(static_cast<double>(saved.bytes)), ", ", number(seconds, 2),
                 config_.checkpoint.background ? " s waited for, state hash " : " s, state hash ",
                 saved.state_hash.str(), ")"));
}

/// Leaves what checkpoint.keep_last asks for and nothing of saves that were killed. What cannot be deleted stays.
void Trainer::tidy(ThreadPool* pool) {
  const auto skipped = [](const std::string& path, const std::string& reason) {
    log_warn(cat(path, " does not count as a good checkpoint: ", reason));
  };
  try {
    remove_leftovers(config_.run_dir, real_file_system());
    apply_retention(config_.run_dir, config_.checkpoint.keep_last, skipped, real_file_system(), pool);
  } catch (const IoError& e) {
    log_warn(cat("older checkpoints stay: ", e.what()));
  }
}

/// The others wait here and not in a step, whose waits may be limited.
void Trainer::tidy_together() {
  do_together(*groups_.io, [&] {
    if (first_rank()) tidy(&pool_);
  });
}

/// A failed save costs no training, until it happens again. In the background it is known when the next one is due,
/// which is left out where the one before is still being written on any rank: training waits for no disk.
void Trainer::save_or_warn() {
  if (background_ && groups_.world->all_reduce(background_->busy() ? 1.0 : 0.0, ReduceOp::max) > 0) {
    if (first_rank())
      log_warn(cat("step ", step_, ": no checkpoint: the one of step ", pending_step_, " is still being written"));
    return;
  }
  or_warn(&Trainer::collect);
  or_warn(&Trainer::save);
}

void Trainer::or_warn(void (Trainer::*work)()) {
  try {
    (this->*work)();
  } catch (const IoError& e) {
    if (++failed_saves_ == kMaxFailedSaves) throw;
    log_error(cat("step ", step_, ": checkpoint not saved: ", e.what(),
                  ". Training goes on; earlier checkpoints are untouched"));
  }
}

DocumentRange Trainer::validation_part(const IndexedDataset& tokens) const {
  return split_documents(config_.data.split, tokens.num_documents(), config_.data.order)[1];
}

double Trainer::evaluate() {
  double sum = 0, targets = 0;
  for (const IndexedDataset& set : tokens_) {
    const EvalResult result =
        evaluate_part(engine_, set, validation_part(set), config_.data, config_.eval.max_batches, *groups_.dp);
    if (tokens_.size() == 1) return result.loss;
    sum += result.loss * static_cast<double>(result.targets);
    targets += static_cast<double>(result.targets);
  }
  return sum / targets;
}

/// Loss, gradients and the update, if it is to be made. One that spikes are looked for in waits for its loss first.
void Trainer::train_step(std::span<const Batch> batches, StepRecord& record) {
  const LossScaler& scaler = engine_.loss_scaler();
  if (scaler.active()) record.loss_scale = scaler.scale();
  bool spike = false;
  if (spikes_.active()) {
    record.loss = engine_.forward_backward(batches, step_);
    record.grad_norm = engine_.gradient_norm(batches, step_);
    spike = record.finite() && spikes_.is_spike(record.loss);
    failpoint("train.update");
    if (!spike) engine_.update(step_, record.lr);
  } else {
    failpoint("train.update");
    const Engine::StepResult result = engine_.train(batches, step_, record.lr);
    record.loss = result.loss;
    record.grad_norm = result.norm;
  }
  record.skipped = spike || !record.finite();
  record.skipped_steps = scaler.skipped();
  if (record.skipped && first_rank()) say_skipped(record);
}

void Trainer::say_skipped(const StepRecord& record) {
  const bool overflow = !record.finite();
  const std::string why = overflow ? cat("gradients overflow at loss scale ", number(*record.loss_scale))
                                   : cat("loss ", number(record.loss, 5), " is a spike");
  log_warn(cat("step ", step_ + 1, ": ", why, "; the update is left out",
               overflow ? cat(", the next loss scale is ", number(engine_.loss_scaler().scale())) : ""));
}

StepRecord Trainer::train_step(std::span<const Batch> batches) {
  StepRecord record;
  record.lr =
      learning_rate(config_.schedule, {config_.optimizer.lr, config_.train.max_steps, config_.engine.model.hidden_size},
                    step_ - engine_.loss_scaler().skipped());
  train_step(batches, record);
  failpoint("train.updated");
  ++step_;
  samples_ += config_.data.global_batch_size;
  record.step = step_;
  record.step_tokens = config_.data.global_batch_size * config_.data.sequence_length;
  trained_tokens_ += record.step_tokens;
  record.tokens = trained_tokens_;
  return record;
}

/// All ranks stop after the same step, whichever got the signal.
bool Trainer::must_stop(const std::atomic<int>& stop) const {
  return groups_.world->all_reduce(stop.load() != 0 ? 1.0 : 0.0, ReduceOp::max) > 0;
}

/// All ranks measure, for they share the machine; rank 0 keeps its own result.
void Trainer::measure_machine(LogWindow::Machine* machine) {
  const Device device = config_.engine.device;
  const double gemm_rate = measure_gemm_rate(engine_.ctx(), config_.engine.precision.param_dtype);
  log_info(cat("products by ", matmul_library(device.kind), ": ", number(gemm_rate / 1e9, 3), " GFLOP/s on ",
               device == kCpu ? cat(pool_.size(), " threads") : cuda_device_name(device.index)));
  if (machine == nullptr) return;
  machine->ranks = groups_.world->size();
  machine->gemm_rate = gemm_rate;
  machine->flops_per_token = engine_.memory_plan().model_flops /
                             static_cast<double>(config_.data.global_batch_size * config_.data.sequence_length);
}

TrainEnd Trainer::run(const std::atomic<int>& stop) {
  const int64_t last = config_.train.max_steps;
  std::optional<Records> records;
  if (first_rank()) records.emplace(config_, step_);
  if (step_ < last) measure_machine(records ? &records->machine() : nullptr);
  std::unique_ptr<SampleOrder> order = make_blend_order(tokens_, parse_blend(config_.data.blend), config_.data,
                                                        DataPart::train, last * config_.data.global_batch_size);
  const int64_t steps_per_epoch = std::max<int64_t>(1, order->samples_per_epoch() / config_.data.global_batch_size);
  Loader loader(std::move(order), {.sequence_length = config_.data.sequence_length,
                                   .micro_batch_size = config_.data.micro_batch_size,
                                   .global_batch_size = config_.data.global_batch_size,
                                   .dp_rank = groups_.dp->rank(),
                                   .dp_size = groups_.dp->size(),
                                   .first_sample = samples_,
                                   .num_steps = last - step_});

  while (step_ < last && !must_stop(stop)) {
    const double begin = now_seconds();
    failpoint("train.step");
    StepRecord record = train_step(loader.next());
    record.epoch = (step_ - 1) / steps_per_epoch;
    record.batch = (step_ - 1) % steps_per_epoch;
    engine_.synchronize();
    record.reader_ms = 1e3 * loader.wait_seconds();
    record.step_ms = 1e3 * (now_seconds() - begin);
    if (config_.eval.every > 0 && (step_ % config_.eval.every == 0 || step_ == last)) record.eval_loss = evaluate();
    if (records) records->add(record);
    if (config_.checkpoint.every > 0 && step_ % config_.checkpoint.every == 0 && step_ < last) {
      if (records) records->clear();
      save_or_warn();
    }
  }
  if (records) records->finish();
  or_warn(&Trainer::collect);
  if (saved_step_ != step_) {
    save();
    collect();
  } else {
    tidy_together();  // the process that saved this step may have been killed before it could
  }
  return step_ < last ? TrainEnd::stopped : TrainEnd::finished;
}

}  // namespace trireme
