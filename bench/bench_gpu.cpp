// bench_gpu: training steps of a preset on the first GPU with random tokens, clipping and AdamW in the step, ours and
// PyTorch's in one run (ours, the peer twice, ours); one JSON line a program, and with --profile the time of each kind
// of our ops.
#include <algorithm>
#include <chrono>
#include <span>

#include "app/cli.h"
#include "app/commands.h"
#include "app/pick_device.h"
#include "app/version.h"
#include "base/log.h"
#include "base/strings.h"
#include "bench.h"
#include "peer.h"
#include "synthetic_training.h"
#include "train/gemm_rate.h"

namespace trireme {
namespace {

constexpr double kPeakFlops = 989.5e12;  // bf16, dense, by the datasheet of H100 and H200 SXM

struct BenchOptions {
  std::string model = "gpt2-124m", dtype = "bfloat16", out, commit = "unknown", command;
  std::string master = "float32", moments = "float32", recompute = "none", linear = "same", grads = "float32";
  std::string python, peer = "bench/peers/torch_gpu_train.py", mode = "compile";
  int64_t vocab = 0, micro_batch = 64, length = 1024, micro_batches = 1, steps = 20, warmup = 5;
  bool profile = false, deterministic = false, untied = false;
};

/// The value that the recipe's word stands for.
template <class Enum>
Enum named(std::string_view option, std::string_view word, std::span<const std::string_view> names) {
  const auto found = std::find(names.begin(), names.end(), word);
  if (found == names.end()) throw ConfigError(cat(option, ": ", word, did_you_mean(word, names)));
  return static_cast<Enum>(found - names.begin());
}

EngineConfig engine_config(const BenchOptions& o) {
  Json model = Json::object();
  model["preset"] = o.model;
  if (o.vocab > 0) model["vocab_size"] = o.vocab;
  EngineConfig c;
  c.model = ModelConfig::from_json(model);
  c.model.resid_pdrop = c.model.embd_pdrop = c.model.attn_pdrop = 0;
  c.optimizer.clip_grad_norm = 1;
  c.precision.param_dtype = dtype_from_name(o.dtype);
  c.precision.master = named<Master>("--master", o.master, kMasterNames);
  c.precision.linear_dtype = named<LinearDtype>("--linear", o.linear, kLinearDtypeNames);
  c.precision.grad_dtype = dtype_from_name(o.grads);
  c.optimizer.moments = named<Moments>("--moments", o.moments, kMomentsNames);
  c.memory.recompute = named<Recompute>("--recompute", o.recompute, kRecomputeNames);
  c.micro_batch_size = o.micro_batch;
  c.sequence_length = o.length;
  c.micro_batches = static_cast<int>(o.micro_batches);
  c.seed = 1;
  c.device = {DeviceKind::cuda, 0};
  c.deterministic = o.deterministic;
  c.gpu = {.cache_folder = user_cache_folder()};
  c.model.tie_word_embeddings = c.model.tie_word_embeddings && !o.untied;
  return c;
}

/// Multiply-adds of the parameters that take part in products, three times forward's, and causal attention.
double causal_flops_per_token(const EngineConfig& c, int64_t parameters) {
  const ModelConfig& m = c.model;
  const int64_t table = m.is_gpt2() ? m.max_position_embeddings * m.hidden_size : 0;
  const int64_t input = m.tie_word_embeddings ? 0 : m.vocab_size * m.hidden_size;
  const double attention = 6.0 * static_cast<double>(m.num_hidden_layers * c.sequence_length) *
                           static_cast<double>(m.num_attention_heads * m.head_dim);
  return 6.0 * static_cast<double>(parameters - table - input) + attention;
}

/// Times of one program in milliseconds, and what is said of it in its row.
struct Contestant {
  Json facts = Json::object();
  std::vector<double> times;
};

/// Warms an engine up and adds the times of `steps` steps. The engine is gone afterwards: the peer needs its memory.
void run_ours(const BenchOptions& o, Contestant& ours) {
  const EngineConfig config = engine_config(o);
  ThreadPool pool;
  const CudaMemory before = cuda_memory(0);
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [](auto from) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  };
  SyntheticTraining training(config, pool);
  Engine& engine = training.engine();
  log_info(engine.memory_plan().str());
  double loss = 0;
  for (int64_t i = 0; i < o.warmup; ++i) {
    loss = training.step();
    log_info(cat("warm-up step ", i + 1, ": loss ", loss, ", ", seconds(begin), " s since the start"));
  }
  for (int64_t i = 0; i < o.steps; ++i) {
    const auto from = std::chrono::steady_clock::now();
    loss = training.step();
    ours.times.push_back(1e3 * seconds(from));
  }
  const CudaMemory after = cuda_memory(0);
  const MemoryPlan& plan = engine.memory_plan();
  ours.facts["program"] = "trireme";
  ours.facts["version"] = std::string(kVersion);
  ours.facts["mfu_flops"] =
      causal_flops_per_token(config, plan.num_parameters) * static_cast<double>(config.tokens() * config.micro_batches);
  ours.facts["plan_gib"] = static_cast<double>(plan.total()) / 0x1p30;
  ours.facts["peak_memory_gib"] = static_cast<double>(before.free - after.free) / 0x1p30;
  ours.facts["loss"] = loss;
  ours.facts["gemm_tflops_of_run"] = measure_gemm_rate(engine.ctx(), config.precision.param_dtype) / 1e12;
  if (o.profile) print_profile(*engine.ctx().cuda, [&] { training.step(); });
}

/// The times of both are sorted.
Json row_of(const BenchOptions& o, const Contestant& c, const Contestant& ours) {
  const auto at = [&](size_t part) { return c.times[c.times.size() * part / 10]; };
  const double tokens = static_cast<double>(o.micro_batch * o.length * o.micro_batches);
  Json row = Json::object();
  row["bench"] = "train_gpu";
  row["workload"] = o.model;
  for (const char* key : {"program", "version"}) row[key] = c.facts.at(key);
  row["commit"] = o.commit;
  row["command"] = o.command;
  row["device"] = cuda_device_name(0);
  row["gpus"] = int64_t{1};
  row["precision"] = &c == &ours && o.linear != "same" ? o.linear : o.dtype;
  row["micro_batch"] = o.micro_batch;
  row["sequence_length"] = o.length;
  row["tokens_per_step"] = static_cast<int64_t>(tokens);
  row["tokens_per_second"] = 1e3 * tokens / at(5);
  row["ms_p10"] = at(1);
  row["ms_p50"] = at(5);
  row["ms_p90"] = at(9);
  row["steps"] = static_cast<int64_t>(c.times.size());
  const double flops = ours.facts.at("mfu_flops").as_real();
  row["mfu_causal"] = 1e3 * flops / at(5) / kPeakFlops;
  const double rate = ours.facts.at("gemm_tflops_of_run").as_real();
  row["gemm_tflops_of_run"] = rate;
  row["share_of_gemm_rate"] = 1e-9 * flops / at(5) / rate;
  if (&c != &ours) row["speedup_of_trireme"] = at(5) / median(ours.times);
  if (&c == &ours) {
    row["master"] = o.master;
    row["moments"] = o.moments;
    row["grads"] = o.grads;
    row["recompute"] = o.recompute;
  }
  for (const char* key : {"plan_gib", "peak_memory_gib", "loss"})
    if (const Json* value = c.facts.find(key)) row[key] = *value;
  return row;
}

/// Ours, the peer twice, ours: a drift of the machine meets both alike.
int run(const BenchOptions& o) {
  Contestant ours, theirs;
  run_ours(o, ours);
  if (!o.python.empty()) {
    {
      Peer peer({o.python, o.peer, o.model, cat(o.micro_batch), cat(o.length), cat(o.micro_batches), o.mode});
      for (int turn = 0; turn < 2; ++turn)
        for (const double ms : peer.run(static_cast<int>(o.steps))) theirs.times.push_back(ms);
      theirs.facts = peer.facts();
    }
    run_ours(o, ours);
  }
  for (Contestant* c : {&ours, &theirs}) {
    if (c->times.empty()) continue;
    std::sort(c->times.begin(), c->times.end());
    put_rows({row_of(o, *c, ours)}, o.out);
  }
  return kDone;
}

int run_words(std::vector<std::string> words) {
  BenchOptions o;
  o.command = command_of("bench_gpu", words);
  CommandLine line("bench_gpu", "Training speed of a preset on the first GPU.", std::move(words));
  line.option("--model", o.model, "preset");
  line.option("--vocab", o.vocab, "another vocabulary; 0: the preset's");
  line.option("--dtype", o.dtype, "of parameters and activations: bfloat16 or float32");
  line.option("--master", o.master, "as precision.master");
  line.option("--linear", o.linear, "as precision.linear_dtype");
  line.option("--moments", o.moments, "as optimizer.moments");
  line.option("--grads", o.grads, "as precision.grad_dtype");
  line.option("--recompute", o.recompute, "as memory.recompute");
  line.option("--micro-batch", o.micro_batch, "sequences at once");
  line.option("--length", o.length, "tokens of a sequence");
  line.option("--micro-batches", o.micro_batches, "of a step");
  line.flag("--untied", o.untied, "an own matrix for the output, whatever the preset says");
  line.flag("--deterministic", o.deterministic, "as train.deterministic");
  line.option("--steps", o.steps, "timed steps");
  line.option("--warmup", o.warmup, "steps before them");
  line.flag("--profile", o.profile, "print where the time of a step goes");
  line.option("--commit", o.commit, "of this program, for the row");
  line.option("--python", o.python, "interpreter of the peer; without it ours runs alone");
  line.option("--peer", o.peer, "the peer's program");
  line.option("--mode", o.mode, "of the peer: compile or eager");
  line.option("--out", o.out, "file to which the row is appended");
  line.example("bench_gpu --model gpt2-124m --vocab 50304 --micro-batch 64 --python python3");
  if (!line.parse()) return kDone;

  return run(o);
}

}  // namespace
}  // namespace trireme

int main(int, char** argv) { return trireme::bench_main(argv, trireme::run_words); }
