// bench_decode: tokens a second of a preset with random weights on the first GPU, one sequence or several side by side,
// the likeliest token taken each time; a JSON line.
#include <algorithm>
#include <cstring>
#include <vector>

#include "app/cli.h"
#include "app/commands.h"
#include "app/pick_device.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/strings.h"
#include "bench.h"
#include "device/memory.h"
#include "infer/decoder.h"
#include "infer/sampler.h"

namespace trireme {
namespace {

struct BenchOptions {
  std::string model = "llama3-8b", dtype = "bfloat16", out, commit = "unknown", command;
  int64_t batch = 1, prompt = 64, tokens = 256, warmup = 16;
  bool profile = false;
};

/// Every parameter from one block of random values, copied on the device: the time does not depend on which they are,
/// but zeros would be faster than weights are.
void fill_with_noise(ParamTable& params) {
  constexpr int64_t kBlock = int64_t{1} << 22;
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    Buffer noise;
    for (const Param& p : params) {
      if (p.value.dtype != type || !p.spec.tied_to.empty()) continue;
      if (noise.bytes() == 0) {
        std::vector<char> host(static_cast<size_t>(kBlock * dtype_size(type)));
        for (int64_t i = 0; i < kBlock; ++i) {
          const float v =
              0.03F * static_cast<float>(RandomKey::of(1, 2).draw(0, static_cast<uint64_t>(i))[0]) * 0x1p-31F - 0.03F;
          const uint16_t half = type == DType::f16 ? to_f16(v).bits : to_bf16(v).bits;
          const void* from = type == DType::f32 ? static_cast<const void*>(&v) : &half;
          std::memcpy(host.data() + i * dtype_size(type), from, static_cast<size_t>(dtype_size(type)));
        }
        noise = Buffer("noise", p.value.device, kBlock * dtype_size(type));
        copy_memory(noise.device(), noise.data(), kCpu, host.data(), noise.bytes());
      }
      for (int64_t at = 0; at < p.value.numel(); at += kBlock) {
        const int64_t count = std::min(kBlock, p.value.numel() - at);
        copy_memory(p.value.device, p.value.as<char>() + at * dtype_size(type), noise.device(), noise.data(),
                    count * dtype_size(type));
      }
    }
  }
}

int run(const BenchOptions& o) {
  Json json = Json::object();
  json["preset"] = o.model;
  const ModelConfig model = ModelConfig::from_json(json);
  const CudaMemory before = cuda_memory(0);
  ThreadPool pool;
  Decoder decoder({.model = model,
                   .param_dtype = dtype_from_name(o.dtype),
                   .sequences = static_cast<int>(o.batch),
                   .capacity = o.prompt + o.warmup + o.tokens + 2,
                   .device = {DeviceKind::cuda, 0},
                   .gpu = {.cache_folder = user_cache_folder()}},
                  pool);
  fill_with_noise(decoder.params());
  int64_t bytes = 0;
  for (const Param& p : decoder.params())
    if (p.spec.tied_to.empty()) bytes += p.value.bytes();

  std::vector<int32_t> prompt, next(static_cast<size_t>(o.batch));
  for (int64_t i = 0; i < o.prompt; ++i) prompt.push_back(static_cast<int32_t>(i * 7919 % model.vocab_size));
  const auto vocab = static_cast<size_t>(model.vocab_size);
  Sampler sampler({.temperature = 0}, model.vocab_size);
  std::vector<int> slots;
  for (int s = 0; s < static_cast<int>(o.batch); ++s) {
    slots.push_back(s);
    next[static_cast<size_t>(s)] = sampler.next({decoder.prefill(s, prompt).f32(), vocab}, {}, s);
  }
  const auto step = [&] {
    const std::span<const int32_t> ids = decoder.step_likeliest(slots, next);
    next.assign(ids.begin(), ids.end());
  };
  std::vector<double> times;
  for (int64_t i = 0; i < o.warmup + o.tokens; ++i) {
    const double from = now_seconds();
    step();
    if (i >= o.warmup) times.push_back(1e3 * (now_seconds() - from));
  }
  std::sort(times.begin(), times.end());
  const auto at = [&](size_t part) { return times[times.size() * part / 10]; };
  Json row = Json::object();
  row["bench"] = "decode_gpu";
  row["workload"] = cat("decode-", o.model);
  row["program"] = "trireme";
  row["version"] = std::string(kVersion);
  row["commit"] = o.commit;
  row["command"] = o.command;
  row["device"] = cuda_device_name(0);
  row["gpus"] = int64_t{1};
  row["precision"] = o.dtype;
  row["micro_batch"] = o.batch;
  row["sequence_length"] = o.prompt + o.warmup + o.tokens;
  row["tokens_per_step"] = o.batch;
  row["tokens_per_second"] = 1e3 * static_cast<double>(o.batch) / at(5);
  row["ms_p10"] = at(1);
  row["ms_p50"] = at(5);
  row["ms_p90"] = at(9);
  row["steps"] = static_cast<int64_t>(times.size());
  row["weights_gb_per_second"] = 1e-6 * static_cast<double>(bytes) / at(5);
  row["peak_memory_gib"] = static_cast<double>(before.free - cuda_memory(0).free) / 0x1p30;
  put_rows({row}, o.out);
  if (o.profile) print_profile(*decoder.cuda(), step);
  return kDone;
}

int run_words(std::vector<std::string> words) {
  BenchOptions o;
  o.command = command_of("bench_decode", words);
  CommandLine line("bench_decode", "Decoding speed of a preset on the first GPU.", std::move(words));
  line.option("--model", o.model, "preset");
  line.option("--dtype", o.dtype, "of parameters and activations: bfloat16 or float32");
  line.option("--batch", o.batch, "sequences side by side");
  line.option("--prompt", o.prompt, "tokens before the first new one");
  line.option("--tokens", o.tokens, "timed new tokens of each sequence");
  line.option("--warmup", o.warmup, "new tokens before them");
  line.flag("--profile", o.profile, "print the times of a step's ops");
  line.option("--commit", o.commit, "of this program, for the row");
  line.option("--out", o.out, "file to which the row is appended");
  line.example("bench_decode --model llama3-8b --batch 1 --tokens 256");
  if (!line.parse()) return kDone;
  return run(o);
}

}  // namespace
}  // namespace trireme

int main(int, char** argv) { return trireme::bench_main(argv, trireme::run_words); }
