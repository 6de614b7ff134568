// bench_cpu train|generate: steps of a small GPT and Llama on the CPU, ours and PyTorch's in turns within one run, one
// JSON line a program appended to --out. The peers are bench/peers/*.py, run by the interpreters given as --python.
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "app/cli.h"
#include "app/commands.h"
#include "app/version.h"
#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "bench.h"
#include "infer/decoder.h"
#include "ops/matmul.h"
#include "peer.h"
#include "synthetic_training.h"
#include "train/gemm_rate.h"

namespace trireme {
namespace {

constexpr int64_t kBatch = 8, kLength = 256, kVocab = 8192;
constexpr int64_t kPrompt = 16, kNewTokens = 224;  // as bench/peers/torch_cpu_generate.py

struct BenchOptions {
  std::string what, out, commit = "unknown", command;
  std::vector<std::string> families = {"gpt", "llama"}, pythons, modes = {"eager", "compile"};
  int64_t rounds = 6, steps = 4, threads = 2;
};

ModelConfig family_config(const std::string& family) {
  const char* text =
      family == "gpt"
          ? R"({"model_type":"gpt2","vocab_size":8192,"n_embd":384,"n_layer":6,"n_head":6,"n_positions":256,
                "resid_pdrop":0,"embd_pdrop":0,"attn_pdrop":0})"
          : R"({"model_type":"llama","vocab_size":8192,"hidden_size":384,"num_hidden_layers":6,"num_attention_heads":6,
                "intermediate_size":1024,"max_position_embeddings":256,"tie_word_embeddings":false})";
  return ModelConfig::from_json(Json::parse(text, family));
}

template <class F>
double milliseconds(F f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

/// One program under test: runs `count` steps and gives their times in milliseconds.
struct Contestant {
  std::string program, version;
  std::function<std::vector<double>(int)> run;
  std::vector<double> times;
};

class OurTraining {
 public:
  OurTraining(const std::string& family, ThreadPool& pool) : training_(config(family), pool) {}
  void step() { training_.step(); }
  double model_flops() { return training_.engine().memory_plan().model_flops; }

 private:
  static EngineConfig config(const std::string& family) {
    EngineConfig c;
    c.model = family_config(family);
    c.micro_batch_size = kBatch;
    c.sequence_length = kLength;
    return c;
  }
  SyntheticTraining training_;
};

/// Greedy decode at batch 1 of random weights: the time does not depend on them.
class OurGeneration {
 public:
  OurGeneration(const std::string& family, ThreadPool& pool)
      : decoder_({.model = family_config(family), .sequences = 1, .capacity = kPrompt + kNewTokens}, pool),
        prompt_(kPrompt, 1) {}
  void step() {
    decoder_.reset(0);
    Tensor logits = decoder_.prefill(0, prompt_);
    const int slot = 0;
    for (int64_t i = 1; i < kNewTokens; ++i) {
      const float* row = logits.f32();
      const int32_t next = static_cast<int32_t>(std::max_element(row, row + kVocab) - row);
      logits = decoder_.step({&slot, 1}, {&next, 1});
    }
  }

 private:
  Decoder decoder_;
  std::vector<int32_t> prompt_;
};

template <class Ours>
std::vector<double> run_ours(Ours& ours, int count) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) times.push_back(milliseconds([&] { ours.step(); }));
  return times;
}

/// All contestants in turns, forwards and backwards, so that a disturbance of the machine meets everyone.
void compete(std::vector<Contestant>& all, const BenchOptions& options, ThreadPool& pool, std::vector<double>& gemm) {
  const int steps = static_cast<int>(options.steps);
  const auto turn = [&](Contestant& c) {
    const std::vector<double> times = c.run(steps);
    c.times.insert(c.times.end(), times.begin(), times.end());
  };
  for (int64_t round = 0; round < options.rounds; ++round) {
    Ctx ctx;
    ctx.pool = &pool;
    gemm.push_back(measure_gemm_rate(ctx, DType::f32));
    for (Contestant& c : all) turn(c);
    for (auto c = all.rbegin(); c != all.rend(); ++c) turn(*c);
    std::string medians;
    for (const Contestant& c : all) medians += cat("  ", c.program, " ", number(median(c.times), 4), " ms");
    log_info(cat("round ", round + 1, " of ", options.rounds, medians));
  }
}

void append_rows(const BenchOptions& options, const std::string& family, const std::vector<Contestant>& all,
                 double gemm, double flops, int64_t tokens) {
  std::vector<Json> rows;
  for (const Contestant& c : all) {
    const double ms = median(c.times);
    Json row = Json::object();
    row["bench"] = options.what + "_cpu";
    row["workload"] = cat(family, "-6x384");
    row["program"] = c.program;
    row["version"] = c.version;
    row["commit"] = options.commit;
    row["command"] = options.command;
    row["device"] = "cpu";
    row["threads"] = options.threads;
    row["precision"] = "float32";
    row["tokens_per_step"] = tokens;
    row["tokens_per_second"] = 1e3 * static_cast<double>(tokens) / ms;
    row["ms_p50"] = ms;
    row["times_taken"] = static_cast<int64_t>(c.times.size());
    row["matmul_library_of_trireme"] = matmul_library();
    row["gemm_gflops_of_run"] = gemm / 1e9;
    if (flops > 0) row["share_of_gemm_rate"] = flops / (ms * 1e-3) / gemm;
    row["speedup_of_trireme"] = ms / median(all[0].times);
    rows.push_back(std::move(row));
  }
  put_rows(rows, options.out);
}

void bench_family(const BenchOptions& options, const std::string& family) {
  ThreadPool pool(static_cast<int>(options.threads));
  const bool training = options.what == "train";
  std::vector<Contestant> all;
  std::optional<OurTraining> ours_training;
  std::optional<OurGeneration> ours_generation;
  double flops = 0;
  if (training) {
    ours_training.emplace(family, pool);
    flops = ours_training->model_flops();
    all.push_back({"trireme", std::string(kVersion), [&](int n) { return run_ours(*ours_training, n); }, {}});
  } else {
    ours_generation.emplace(family, pool);
    all.push_back({"trireme", std::string(kVersion), [&](int n) { return run_ours(*ours_generation, n); }, {}});
  }
  all[0].run(2);
  std::vector<std::unique_ptr<Peer>> peers;
  const std::string script = training ? "bench/peers/torch_cpu_train.py" : "bench/peers/torch_cpu_generate.py";
  for (const std::string& python : options.pythons)
    for (const std::string& mode : options.modes) {
      try {
        peers.push_back(std::make_unique<Peer>(
            std::vector<std::string>{python, script, family, mode, "--threads", cat(options.threads), "--stdin"}));
      } catch (const IoError& e) {
        log_warn(cat(python, ", ", mode, ": ", e.what(), "; left out"));
        continue;
      }
      Peer* peer = peers.back().get();
      all.push_back({peer->facts().at("program").as_string(),
                     peer->facts().at("version").as_string(),
                     [peer](int n) { return peer->run(n); },
                     {}});
    }
  std::vector<double> gemm;
  compete(all, options, pool, gemm);
  append_rows(options, family, all, median(gemm), flops, training ? kBatch * kLength : kNewTokens);
}

int run(std::vector<std::string> words) {
  BenchOptions options;
  options.command = command_of("bench_cpu", words);
  CommandLine line("bench_cpu", "Small models on the CPU, ours and PyTorch's in turns.", std::move(words));
  line.positional("train|generate", options.what, "what is measured");
  line.option("--python", options.pythons, "interpreter with PyTorch; may be given several times");
  line.option("--mode", options.modes, "PyTorch's mode: eager, compile, ...; may be given several times");
  line.option("--family", options.families, "gpt or llama; may be given several times");
  line.option("--rounds", options.rounds, "rounds of turns");
  line.option("--steps", options.steps, "steps of a turn");
  line.option("--threads", options.threads, "CPU threads of every program");
  line.option("--commit", options.commit, "of this program, for the rows");
  line.option("--out", options.out, "file to which the rows are appended");
  line.example("build/cpu/bench/bench_cpu train --python python3 --mode eager --out bench/results/cpu.jsonl");
  if (!line.parse()) return kDone;
  if (options.what != "train" && options.what != "generate") throw ConfigError("expected train or generate");
  for (const std::string& family : options.families) bench_family(options, family);
  return kDone;
}

}  // namespace
}  // namespace trireme

int main(int, char** argv) { return trireme::bench_main(argv, trireme::run); }
