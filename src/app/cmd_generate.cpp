// trireme generate: text from a run or a checkpoint.
#include <algorithm>
#include <optional>

#include "app/commands.h"
#include "app/model_folder.h"
#include "app/model_layout.h"
#include "app/pick_device.h"
#include "app/ranks.h"
#include "app/standard_io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "infer/generator.h"

namespace trireme {
namespace {

constexpr int64_t kUnset = INT64_MIN;
constexpr int64_t kMaxSamples = 10000;  // of a prompt: all texts are held until the last is done

std::string json_text(const std::vector<std::string>& prompts, const std::vector<Generation>& texts) {
  std::string out;
  for (size_t i = 0; i < texts.size(); ++i) {
    Json row = Json::object();
    row["prompt"] = prompts[i];
    row["text"] = texts[i].text;
    row["ids"] = Json::array();
    for (const int32_t id : texts[i].ids) row["ids"].push_back(int64_t{id});
    row["tokens"] = static_cast<int64_t>(texts[i].ids.size());
    row["finish_reason"] = texts[i].finish_reason;
    out += row.dump() + "\n";
  }
  return out;
}

/// What the words of the command line ask for.
struct Request {
  std::string path, device = "auto";
  std::vector<std::string> layout, prompts;  // prompts: each as often as it is to be continued
  GenerateOptions options;
  int64_t max_new_tokens = kUnset, threads = 0;
  bool json = false, stats = false;
};

void print_stats(const GenerateStats& stats) {
  log_info(cat("prefill ", stats.prompt_tokens, " tokens in ", number(stats.prefill_seconds, 3), " s; decode ",
               stats.new_tokens, " tokens, ",
               number(static_cast<double>(stats.new_tokens) / std::max(stats.decode_seconds, 1e-9), 4), " tokens/s"));
}

/// Writes the texts with all ranks; rank 0 prints them.
int generate(Request request, Ranks& ranks) {
  ThreadPool pool(request.threads > 0 ? checked_threads(request.threads) : ranks.threads());
  std::optional<Generator> generator;
  const auto load = [&](const std::string& folder) {
    const Groups& groups = ranks.make_groups(model_layout(request.path, request.layout, ranks.size(), false));
    generator.emplace(load_model_folder(folder), pool, pick_device(request.device, ranks.size()), &groups,
                      CudaOptions{.cache_folder = user_cache_folder()});
    const int64_t positions = generator->model().config.max_position_embeddings;
    request.options.max_new_tokens =
        request.max_new_tokens == kUnset ? std::min<int64_t>(128, positions / 2) : request.max_new_tokens;
    generator->check(request.prompts, request.options);
  };
  const std::string folder = ranks.from_first([&] {
    std::string found = model_folder(request.path, pool);
    load(found);
    return found;
  });
  if (!generator) load(folder);

  // One text streams as it comes; several would mix, and are printed one after the other.
  const bool first = ranks.rank() == 0, stream = request.prompts.size() == 1 && !request.json;
  if (first && stream) print(request.prompts[0]);
  GenerateStats stats;
  const std::vector<Generation> texts = generator->generate(
      request.prompts, request.options,
      first && stream ? OnText([](size_t, std::string_view text) { print(replace_invalid_utf8(text)); }) : OnText(),
      &stats);
  if (!first) return kDone;
  if (request.json) {
    print(json_text(request.prompts, texts));
  } else if (stream) {
    print("\n");
  } else {
    for (size_t i = 0; i < texts.size(); ++i)
      print(cat(i > 0 ? "\n" : "", request.prompts[i], replace_invalid_utf8(texts[i].text), "\n"));
  }
  if (request.stats) print_stats(stats);
  return kDone;
}

}  // namespace

int cmd_generate(CommandLine& line) {
  Request request;
  std::vector<std::string> prompts;
  SamplingParams& sampling = request.options.sampling;
  int64_t seed = 1, count = 1;
  line.positional("RUN|CHECKPOINT", request.path, "run folder (its newest good checkpoint) or checkpoint folder");
  line.positional("KEY=VALUE", request.layout, "parallel.tensor and parallel.pipeline of several processes",
                  CommandLine::Need::optional);
  line.option("--prompt", prompts, "text to continue; may be given several times");
  line.option("--num-samples", count, "texts for each prompt");
  line.option("--max-new-tokens", request.max_new_tokens,
              "tokens to write at most; 128, or half the model's positions, where not given");
  line.option("--temperature", sampling.temperature, "0: always the likeliest token; 1: as the model says");
  line.option("--top-k", sampling.top_k, "choose among this many likeliest tokens; 0: all");
  line.option("--top-p", sampling.top_p, "choose among the likeliest tokens that together have this probability");
  line.option("--repetition-penalty", sampling.repetition_penalty,
              "above 1: tokens already present become less likely");
  line.option("--seed", seed, "of the choices; the same seed writes the same text");
  line.option("--stop", request.options.stop, "end before this text; may be given several times");
  line.option("--device", request.device, "auto, cpu or cuda");
  line.option("--threads", request.threads, "CPU threads; 0: one for each available core");
  line.flag("--raw-prompt", request.options.raw_prompt, "do not begin with the token that parts documents");
  line.flag("--ignore-eos", request.options.ignore_eos, "go on after the end of a document");
  line.flag("--json", request.json, "print one JSON object a text when all are done");
  line.flag("--stats", request.stats, "print tokens a second to stderr");
  line.example(
      "trireme generate runs/poetry-tiny --prompt \"春\" --temperature 0.8 --top-p 0.9 --seed 1 --max-new-tokens 64");
  if (!line.parse()) return kDone;
  if (count < 1 || count > kMaxSamples)
    throw ConfigError(cat("--num-samples is ", count, ", expected 1 to ", kMaxSamples));
  if (seed < 0) throw ConfigError(cat("--seed is ", seed, ", expected 0 or more"));
  checked_threads(request.threads);

  if (prompts.empty()) prompts.push_back("");
  for (const std::string& prompt : prompts)
    for (int64_t i = 0; i < count; ++i) request.prompts.push_back(prompt);
  sampling.seed = static_cast<uint64_t>(seed);
  Ranks ranks(read_environment());
  return ranks.run([&] { return generate(std::move(request), ranks); });
}

}  // namespace trireme
