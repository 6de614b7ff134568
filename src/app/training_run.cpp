#include "app/training_run.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>

#include "app/make_data.h"
#include "app/pick_device.h"
#include "app/standard_io.h"
#include "app/version.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/strings.h"
#include "tokenizer/folder.h"

namespace trireme {
namespace {

std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

/// From now on SIGINT and SIGTERM ask for a stop after the step at hand. A second one ends the process at once: saved
/// checkpoints are whole at any moment.
void take_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int signal) { stop_signal.store(signal); };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

/// Holds the run folder for this process; the kernel lets go when the process ends, however it ends.
class RunLock {
 public:
  explicit RunLock(const std::string& run_dir)
      : fd_(open((run_dir + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ < 0) throw IoError(cat(run_dir, ": cannot be written; choose another run.dir or mend its permissions"));
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      close(fd_);
      throw ConfigError(cat(
          run_dir, ": another process is training in this folder; wait for it, stop it, or choose another run.dir"));
    }
  }
  ~RunLock() { close(fd_); }
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int fd_;
};

std::vector<CarriedFile> carried_files(const std::string& tokenizer) {
  const TokenizerPlace place = find_tokenizer(tokenizer);
  std::vector<CarriedFile> files;
  for (const std::string& name : tokenizer_files(place)) files.push_back({place.folder, name});
  return files;
}

}  // namespace

EngineConfig engine_config(const RunConfig& c, const ModelConfig& model) {
  EngineConfig e;
  e.model = model;
  e.optimizer = c.optimizer;
  e.precision = c.precision;
  e.memory = c.memory;
  e.zero_stage = static_cast<int>(c.parallel.zero_stage);
  e.virtual_pipeline = static_cast<int>(c.parallel.virtual_pipeline);
  e.sequence_parallel = c.parallel.sequence_parallel;
  e.micro_batch_size = c.data.micro_batch_size;
  e.sequence_length = c.data.sequence_length;
  e.micro_batches = static_cast<int>(c.data.global_batch_size / (c.data.micro_batch_size * c.parallel.data));
  e.copies_to_save = c.checkpoint.background;
  e.seed = static_cast<uint64_t>(c.train.seed);
  e.device = {c.device.value_or(DeviceKind::cpu), 0};
  e.deterministic = c.train.deterministic;
  e.gpu = {.cache_folder = user_cache_folder()};
  return e;
}

void set_vocabulary(ModelConfig& model, const Tokenizer& tokenizer) {
  if (model.vocab_size == 0) model.vocab_size = tokenizer.vocab_size();
  if (model.vocab_size < tokenizer.vocab_size())
    throw ConfigError(cat("model.vocab_size is ", model.vocab_size, ", but the tokenizer has ", tokenizer.vocab_size(),
                          " tokens; leave model.vocab_size out to take the tokenizer's"));
  if (model.eos_token_id < 0) model.eos_token_id = tokenizer.eos_id().value_or(-1);
}

TrainEnd run_training(const RunConfig& config, ModelConfig model, Ranks& ranks) {
  const bool first = ranks.rank() == 0;
  std::optional<RunLock> lock;
  if (first) {
    real_file_system().make_directory(config.run.dir + "/log");
    lock.emplace(config.run.dir);
  }
  ranks.meet();
  set_log_file(cat(config.run.dir, "/log/rank-", ranks.rank(), ".log"));
  failpoint("run.start");
  if (first) write_file(config.run.dir + "/recipe.yaml", dump_recipe(config));
  if (ranks.size() > 1 && config.train.threads > available_cores())
    log_warn(cat("train.threads is ", config.train.threads, " for each rank, but this one may use ", available_cores(),
                 " cores; leave it out, and the cores are shared out"));
  ThreadPool pool(config.train.threads > 0 ? static_cast<int>(config.train.threads) : ranks.threads());

  if (!first) ranks.meet();  // rank 0 makes tokenizer and token files, the others find them
  const Tokenizer tokenizer = ensure_data(config, pool);
  if (first) ranks.meet();
  set_vocabulary(model, tokenizer);
  const std::vector<IndexedDataset> tokens = open_token_files(config.data, tokenizer.vocab_size());

  TrainerConfig trainer_config{.run_dir = config.run.dir,
                               .engine = engine_config(config, model),
                               .data = config.data,
                               .train = config.train,
                               .eval = config.eval,
                               .optimizer = config.optimizer,
                               .schedule = config.schedule,
                               .checkpoint = config.checkpoint,
                               .log = config.log,
                               .files = carried_files(config.tokenizer.path)};
  trainer_config.info["program"] = cat("trireme ", kVersion);
  trainer_config.info["recipe_hash"] = recipe_hash(config);
  trainer_config.poison = std::getenv("TRIREME_POISON") != nullptr;
  if (trainer_config.poison) log_info("TRIREME_POISON is set: released activations become NaN");
  take_signals();
  Trainer trainer(std::move(trainer_config), ranks.make_groups(config.parallel), tokens, pool);
  log_info(trainer.engine().memory_plan().str());
  if (trainer.steps_done() >= config.train.max_steps)
    log_info(
        cat(config.run.dir, " has finished its ", config.train.max_steps, " steps; raise train.max_steps to go on"));
  const TrainEnd end = trainer.run(stop_signal);
  failpoint("run.end");
  return end;
}

}  // namespace trireme
