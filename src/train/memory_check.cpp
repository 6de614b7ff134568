#include "train/memory_check.h"

#include <algorithm>

#include "base/strings.h"

namespace trireme {
namespace {

constexpr int64_t kLibraries = int64_t{1} << 30;  // what cuBLAS and cuDNN take for themselves

std::string gib(int64_t bytes) { return cat(number(static_cast<double>(bytes) / 0x1p30, 4), " GiB"); }

/// What is refused for another reason does not fit either.
bool fits(const EngineConfig& c, const Groups& groups, ThreadPool& pool, int64_t limit) {
  try {
    return Engine::plan(c, groups, pool).on_device() <= limit;
  } catch (const ConfigError&) {
    return false;
  }
}

/// "data.micro_batch_size=N" for the largest that fits, by halves; empty where none does.
std::string smaller_batch(EngineConfig c, const Groups& groups, ThreadPool& pool, int64_t limit) {
  const auto halve = [](EngineConfig& config) {
    config.micro_batch_size /= 2;
    config.micro_batches *= 2;
  };
  EngineConfig smallest = c;
  while (smallest.micro_batch_size % 2 == 0) halve(smallest);
  if (smallest.micro_batch_size == c.micro_batch_size || !fits(smallest, groups, pool, limit)) return "";
  do halve(c);
  while (!fits(c, groups, pool, limit));
  return cat("data.micro_batch_size=", c.micro_batch_size);
}

/// "--batch-size N" for the largest that fits an evaluation, by halves; empty where none does.
std::string fewer_windows(EngineConfig c, const Groups& groups, ThreadPool& pool, int64_t limit) {
  while (c.micro_batch_size > 1) {
    c.micro_batch_size /= 2;
    if (fits(c, groups, pool, limit)) return cat("--batch-size ", c.micro_batch_size);
  }
  return "";
}

/// What makes activations small enough; empty where nothing does.
std::string smaller_activations(const EngineConfig& config, const Groups& groups, ThreadPool& pool, int64_t limit) {
  EngineConfig cheap = config, block = config;
  cheap.memory.recompute = std::max(config.memory.recompute, Recompute::cheap);
  block.memory.recompute = Recompute::block;
  if (cheap.memory != config.memory && fits(cheap, groups, pool, limit)) return "memory.recompute=cheap";
  if (const std::string batch = smaller_batch(config, groups, pool, limit); !batch.empty()) return batch;
  if (block.memory == config.memory) return "";
  if (fits(block, groups, pool, limit)) return "memory.recompute=block";
  const std::string batch = smaller_batch(block, groups, pool, limit);
  return batch.empty() ? "" : "memory.recompute=block " + batch;
}

/// In which keys `config` keeps its numbers otherwise than `asked`.
std::string words_of(const EngineConfig& config, const EngineConfig& asked) {
  const PrecisionConfig &p = config.precision, &was = asked.precision;
  std::string words;
  const auto add = [&](bool differs, const char* key, std::string_view value) {
    if (differs) words += cat(words.empty() ? "" : " ", key, "=", value);
  };
  add(p.param_dtype != was.param_dtype, "precision.param_dtype", "bfloat16");
  add(p.tf32 != was.tf32, "precision.tf32", "false");
  add(p.master != was.master, "precision.master", kMasterNames[static_cast<size_t>(p.master)]);
  add(p.grad_dtype != was.grad_dtype, "precision.grad_dtype", "bfloat16");
  const Moments moments = config.optimizer.moments;
  add(moments != asked.optimizer.moments, "optimizer.moments", kMomentsNames[static_cast<size_t>(moments)]);
  return words;
}

}  // namespace

int64_t usable_gpu_memory(Device device) { return cuda_memory(device.index).free - kLibraries; }

RecomputeSplit least_recompute(EngineConfig config, const Groups& groups, ThreadPool& pool, int64_t limit) {
  const int64_t layers = config.model.num_hidden_layers;
  const auto split = [=](int64_t i) {  // one block after the other: activations, norms too, all of it
    const int64_t block = std::max<int64_t>(i - 2 * layers, 0);
    const int64_t cheap = std::clamp<int64_t>(i - layers, 0, layers) - block;
    return RecomputeSplit{.block = block, .cheap = cheap, .activation = std::min(i, layers) - cheap - block};
  };
  const auto split_fits = [&](int64_t i) {
    config.split = split(i);
    return fits(config, groups, pool, limit);
  };
  // The first block that runs again saves nothing yet: it does so in memory of its own.
  const bool blocks = !split_fits(2 * layers);
  int64_t low = blocks ? 2 * layers + 1 : 0, high = blocks ? 3 * layers : 2 * layers;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (split_fits(middle))
      high = middle;
    else
      low = middle + 1;
  }
  double most = static_cast<double>(low);
  for (Group* group : {groups.tp, groups.dp_cp, groups.pp}) most = group->all_reduce(most, ReduceOp::max);
  return split(static_cast<int64_t>(most));
}

std::string cheapest_change(const EngineConfig& asked, const Groups& groups, ThreadPool& pool, int64_t limit) {
  if (asked.micro_batches == 0) return fewer_windows(asked, groups, pool, limit);
  EngineConfig config = asked;
  if (config.memory.recompute == Recompute::automatic) config.memory.recompute = Recompute::block;  // it was tried
  EngineConfig smaller = config;
  if (config.precision.param_dtype == DType::bf16 && config.precision.master == Master::float32) {
    smaller.precision.master = Master::remainder;  // costs nothing: the same numbers
    if (fits(smaller, groups, pool, limit)) return words_of(smaller, asked);
  }
  if (const std::string less = smaller_activations(config, groups, pool, limit); !less.empty()) return less;
  const auto change = [&]() -> std::string {
    const std::string words = words_of(smaller, asked);
    if (words.empty() || fits(smaller, groups, pool, limit)) return words;
    const std::string less = smaller_activations(smaller, groups, pool, limit);
    return less.empty() ? "" : words + " " + less;
  };
  const auto change_moments = [&]() -> std::string {
    for (const Moments moments : {Moments::float32, Moments::bfloat16, Moments::eight_bit}) {
      smaller.optimizer.moments = std::max(moments, asked.optimizer.moments);
      if (const std::string words = change(); !words.empty()) return words;
    }
    return "";
  };
  if (const std::string words = change_moments(); !words.empty()) return words;
  if (smaller.precision.param_dtype == DType::f32) {
    smaller.precision.param_dtype = DType::bf16;
    smaller.precision.master = Master::remainder;
    smaller.precision.tf32 = false;
    if (const std::string words = change_moments(); !words.empty()) return words;
  }
  if (smaller.precision.param_dtype != DType::bf16) return "";
  smaller.precision.master = Master::none;
  if (const std::string words = change(); !words.empty()) return words;
  smaller.precision.grad_dtype = DType::bf16;
  return change();
}

void require_gpu_memory(const EngineConfig& config, const Groups& groups, ThreadPool& pool, const MemoryPlan& plan) {
  const Device device = config.device;
  const CudaMemory memory = cuda_memory(device.index);
  if (plan.on_device() <= usable_gpu_memory(device)) return;
  const std::string change = cheapest_change(config, groups, pool, memory.free - kLibraries);
  const char* none = config.micro_batches == 0 ? "Not even one window at a time fits: use a shorter --sequence-length"
                                               : "No micro-batch, recompute or fewer bits make it fit: use a smaller "
                                                 "model or shorter sequences";
  throw ConfigError(cat("this run needs ", gib(plan.on_device()), " and about 1 GiB for libraries; GPU ", device.index,
                        " (", cuda_device_name(device.index), ") has ", gib(memory.free), " free of ",
                        gib(memory.total), ". ", change.empty() ? none : cat("What fits and costs least: ", change),
                        "\n", plan.str()));
}

}  // namespace trireme
