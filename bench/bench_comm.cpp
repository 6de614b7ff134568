// bench_comm all_reduce: the sum of a buffer over two processes of this machine, ours beside Gloo and Open MPI, in
// turns. bench_comm train: two one-thread processes that train together, beside the same two that each train alone. One
// JSON line a program and size, appended to --out.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>

#include "app/cli.h"
#include "app/commands.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/strings.h"
#include "bench.h"
#include "comm/process_world.h"
#include "launch/cores.h"
#include "peer.h"
#include "train/engine.h"

namespace trireme {
namespace {

struct BenchOptions {
  std::string what, out, commit = "unknown", command, python, mpi_program;
  int64_t rounds = 6, processes = 2;
};

/// A size of buffer, and calls between two looks at the clock.
struct Work {
  const char* name;
  int64_t bytes;
  int calls;
};
constexpr Work kWork[] = {{"1 KiB", 1 << 10, 2000}, {"4 MiB", 4 << 20, 20}, {"64 MiB", 64 << 20, 2}};

double now_ms() { return 1e3 * now_seconds(); }

void pin(int rank, int processes) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : share_of_cores(usable_cores(), rank, processes)) CPU_SET(static_cast<size_t>(core), &set);
  if (CPU_COUNT(&set) > 0) sched_setaffinity(0, sizeof set, &set);
}

/// Runs body(world, group) as ranks of forked processes; this one is rank 0 and does not return before the others end.
void run_ranks(int processes, const std::function<void(ProcessWorld&, Group&)>& body) {
  WorldOptions options;
  Fd listener = listen_on("127.0.0.1", 0);
  options.place = {0, processes, 0, processes, "127.0.0.1", port_of(listener)};
  std::vector<int> ranks(1, 0);
  std::vector<pid_t> children;
  for (int r = 1; r < processes; ++r) {
    ranks.push_back(r);
    const pid_t pid = fork();
    if (pid == 0) {
      options.place.rank = options.place.local_rank = r;
      break;
    }
    children.push_back(pid);
  }
  const int rank = options.place.rank;
  for (int r = rank + 1; r < processes; ++r) ranks.push_back(r);
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  if (rank == 0) options.listener_fd = dup(listener.get());
  listener.reset();
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  pin(rank, processes);
  {
    ProcessWorld world(options);
    const std::unique_ptr<Group> group = world.group(ranks);
    body(world, *group);
  }
  if (rank != 0) _exit(0);
  for (const pid_t pid : children) waitpid(pid, nullptr, 0);
  sched_setaffinity(0, sizeof before, &before);
}

/// Milliseconds of `count` rounds of work.calls calls each; what rank 0 measures.
std::vector<double> reduce(Group& group, std::vector<float>& buffer, const Work& work, int count) {
  const Tensor t(buffer.data(), DType::f32, kCpu, {work.bytes / static_cast<int64_t>(sizeof(float))});
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    group.barrier();
    const double begin = now_ms();
    for (int c = 0; c < work.calls; ++c) group.all_reduce(t, ReduceOp::sum);
    times.push_back(now_ms() - begin);
  }
  return times;
}

struct Row {
  std::string bench, workload, program, version;
  double ms = 0;
  int64_t taken = 0;
  Json more = Json::object();
};

void append_row(const BenchOptions& options, const Row& r) {
  Json row = Json::object();
  row["bench"] = r.bench;
  row["workload"] = r.workload;
  row["program"] = r.program;
  row["version"] = r.version;
  row["commit"] = options.commit;
  row["command"] = options.command;
  row["device"] = "cpu";
  row["threads"] = options.processes;
  row["precision"] = "float32";
  row["ms_p50"] = r.ms;
  row["times_taken"] = r.taken;
  for (const auto& [key, value] : r.more.members()) row[key] = value;
  put_rows({row}, options.out);
}

std::vector<std::vector<std::string>> peer_words(const BenchOptions& options, const Work& work) {
  const std::string bytes = cat(work.bytes), calls = cat(work.calls), processes = cat(options.processes);
  std::vector<std::vector<std::string>> words;
  if (!options.python.empty())
    words.push_back({options.python, "bench/peers/torch_gloo.py", "--bytes", bytes, "--calls", calls, "--processes",
                     processes, "--stdin"});
  if (!options.mpi_program.empty())
    words.push_back(
        {"mpirun", "--allow-run-as-root", "--bind-to", "core", "-n", processes, options.mpi_program, bytes, calls});
  return words;
}

void bench_all_reduce(const BenchOptions& options, const Work& work) {
  constexpr int kTimes = 5;
  run_ranks(static_cast<int>(options.processes), [&](ProcessWorld& world, Group& group) {
    std::vector<float> buffer(static_cast<size_t>(work.bytes) / sizeof(float));
    reduce(group, buffer, work, 2);
    if (world.rank() != 0) {
      while (group.all_reduce(0.0, ReduceOp::max) > 0) reduce(group, buffer, work, kTimes);
      return;
    }
    std::vector<std::unique_ptr<Peer>> peers;
    for (const std::vector<std::string>& words : peer_words(options, work))
      peers.push_back(std::make_unique<Peer>(words));
    std::vector<std::vector<double>> times(peers.size() + 1);
    const auto add = [](std::vector<double>& to, const std::vector<double>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    for (int64_t round = 0; round < options.rounds; ++round) {
      group.all_reduce(1.0, ReduceOp::max);
      add(times[0], reduce(group, buffer, work, kTimes));
      for (size_t p = 0; p < peers.size(); ++p) add(times[p + 1], peers[p]->run(kTimes));
    }
    group.all_reduce(0.0, ReduceOp::max);
    for (size_t p = 0; p < times.size(); ++p) {
      Row row{"all_reduce",
              cat(work.name, " x ", options.processes, " processes"),
              "trireme",
              std::string(kVersion),
              median(times[p]) / work.calls,
              static_cast<int64_t>(times[p].size())};
      if (p > 0) {
        row.program = peers[p - 1]->facts().at("program").as_string();
        row.version = peers[p - 1]->facts().at("version").as_string();
      }
      // As nccl-tests count: what each rank must send and receive at least, over the time.
      const double factor = 2.0 * static_cast<double>(options.processes - 1) / static_cast<double>(options.processes);
      row.more["megabytes_per_second"] = factor * static_cast<double>(work.bytes) / (row.ms * 1e3);
      row.more["speedup_of_trireme"] = median(times[p]) / median(times[0]);
      append_row(options, row);
    }
  });
}

/// A small GPT and one micro-batch of random tokens.
class Training {
 public:
  static constexpr int64_t kBatch = 4, kLength = 256, kVocab = 8192;

  Training(const Groups& groups, ThreadPool& pool) : engine_(config(), groups, pool) {
    engine_.initialise();
    const int64_t n = kBatch * kLength;
    for (int64_t i = 0; i <= n; ++i)
      ids_.push_back(static_cast<int32_t>(RandomKey::of(1, 2).draw(0, static_cast<uint64_t>(i))[0] % kVocab));
    for (int64_t i = 0; i < n; ++i) positions_.push_back(static_cast<int32_t>(i % kLength));
    weights_.assign(static_cast<size_t>(n), 1.0F);
    samples_.assign(static_cast<size_t>(n), 0);
    for (int32_t b = 0; b < kBatch; ++b) segments_.push_back({b * 256, 256, b * 256, 256, 0, 0});
    batch_.tokens = {ids_.data(), DType::i32, kCpu, {n}};
    batch_.targets = {ids_.data() + 1, DType::i32, kCpu, {n}};
    batch_.positions = {positions_.data(), DType::i32, kCpu, {n}};
    batch_.weights = {weights_.data(), DType::f32, kCpu, {n}};
    batch_.sample_ids = {samples_.data(), DType::i64, kCpu, {n}};
    batch_.segments = segments_;
    batch_.total_weight = static_cast<double>(n * groups.dp->size());
  }

  double step_ms() {
    const double begin = now_ms();
    const std::span<const Batch> batches(&batch_, 1);
    engine_.train(batches, step_, 1e-4);
    ++step_;
    return now_ms() - begin;
  }

 private:
  static EngineConfig config() {
    EngineConfig c;
    c.model = ModelConfig::from_json(Json::parse(
        R"({"model_type":"gpt2","vocab_size":8192,"n_embd":384,"n_layer":6,"n_head":6,"n_positions":256,
            "resid_pdrop":0,"embd_pdrop":0,"attn_pdrop":0})",
        "gpt"));
    c.micro_batch_size = kBatch;
    c.sequence_length = kLength;
    return c;
  }
  Engine engine_;
  std::vector<int32_t> ids_, positions_;
  std::vector<float> weights_;
  std::vector<int64_t> samples_;
  std::vector<Segment> segments_;
  Batch batch_;
  int64_t step_ = 0;
};

void bench_train(const BenchOptions& options) {
  constexpr int kSteps = 3;
  run_ranks(static_cast<int>(options.processes), [&](ProcessWorld& world, Group& group) {
    ThreadPool pool(1);
    SingleGroup single;
    Groups shared = Groups::alone(single);
    shared.world = shared.dp = shared.dp_cp = &group;
    Training alone(Groups::alone(single), pool), together(shared, pool);
    alone.step_ms();
    together.step_ms();
    // Step by step in turns: what disturbs the machine disturbs all three alike. Of two that wait for each other a
    // disturbance of one costs both: how much of a loss is due to that, the third kind shows, which exchanges nothing.
    std::vector<double> alone_ms, together_ms, meeting_ms;
    for (int64_t step = 0; step < kSteps * options.rounds; ++step) {
      group.barrier();
      alone_ms.push_back(alone.step_ms());
      group.barrier();
      together_ms.push_back(together.step_ms());
      group.barrier();
      const double begin = now_ms();
      alone.step_ms();
      group.barrier();
      meeting_ms.push_back(now_ms() - begin);
    }
    // Rates add up over the processes, whichever is the slower one.
    const double both = group.all_reduce(1 / median(alone_ms), ReduceOp::sum);
    if (world.rank() != 0) return;
    const double tokens = Training::kBatch * Training::kLength;
    const double rate_alone = 1e3 * tokens * both;
    const double rate = 1e3 * tokens * static_cast<double>(options.processes) / median(together_ms);
    Row row{"train_data_parallel",
            cat("gpt-6x384 x ", options.processes, " processes"),
            "trireme",
            std::string(kVersion),
            median(together_ms),
            static_cast<int64_t>(together_ms.size())};
    row.more["tokens_per_second"] = rate;
    row.more["tokens_per_second_each_alone"] = rate_alone;
    row.more["share_of_each_alone"] = rate / rate_alone;
    row.more["share_where_they_only_meet"] =
        1e3 * tokens * static_cast<double>(options.processes) / median(meeting_ms) / rate_alone;
    append_row(options, row);
  });
}

int run(std::vector<std::string> words) {
  BenchOptions options;
  options.command = command_of("bench_comm", words);
  CommandLine line("bench_comm", "Collectives and training of processes of this machine.", std::move(words));
  line.positional("all_reduce|train", options.what, "what is measured");
  line.option("--python", options.python, "interpreter with PyTorch, for Gloo");
  line.option("--mpi-program", options.mpi_program, "bench/peers/mpi_all_reduce.cpp, compiled by mpicxx -O2");
  line.option("--processes", options.processes, "ranks");
  line.option("--rounds", options.rounds, "rounds of turns");
  line.option("--commit", options.commit, "of this program, for the rows");
  line.option("--out", options.out, "file to which the rows are appended");
  line.example("build/cpu/bench/bench_comm all_reduce --python python3 --out bench/results/comm.jsonl");
  if (!line.parse()) return kDone;
  if (options.what == "train") {
    bench_train(options);
  } else if (options.what == "all_reduce") {
    for (const Work& work : kWork) bench_all_reduce(options, work);
  } else {
    throw ConfigError("expected all_reduce or train");
  }
  return kDone;
}

}  // namespace
}  // namespace trireme

int main(int, char** argv) { return trireme::bench_main(argv, trireme::run); }
