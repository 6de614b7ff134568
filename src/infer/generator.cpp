#include "infer/generator.h"

#include <algorithm>

#include "base/clock.h"
#include "base/strings.h"
#include "tokenizer/stream_decoder.h"

namespace trireme {
namespace {

constexpr size_t kSideBySide = 16;  // prompts decoded together

/// Text that may still turn out to be the begin of a stop string is held back.
class StopFilter {
 public:
  explicit StopFilter(const std::vector<std::string>& stops) : stops_(stops) {}

  /// What may be shown after `text` came; sets found() where a stop string is complete.
  std::string push(std::string_view text) {
    held_ += text;
    size_t at = std::string::npos;
    for (const std::string& stop : stops_) at = std::min(at, held_.find(stop));
    if (at != std::string::npos) {
      found_ = true;
      held_.resize(at);
      return std::exchange(held_, {});
    }
    size_t keep = 0;
    for (const std::string& stop : stops_)
      for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n)
        if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
    std::string shown = held_.substr(0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    return shown;
  }
  std::string finish() { return std::exchange(held_, {}); }
  bool found() const { return found_; }

 private:
  const std::vector<std::string>& stops_;
  std::string held_;
  bool found_ = false;
};

/// One prompt on its way.
struct Sequence {
  size_t prompt;
  std::vector<int32_t> history;
  StreamDecoder decoder;
  StopFilter filter;
  Generation out;
  bool done = false;
};

/// Answers groups of sequences side by side.
class Answers {
 public:
  Answers(const LoadedModel& model, const WeightFiles& weights, const GenerateOptions& options, const OnText& on_text,
          const DecoderConfig& config, ThreadPool& pool, const Groups* groups)
      : model_(model),
        options_(options),
        on_text_(on_text),
        decoder_(config, pool, groups),
        sampler_(options.sampling, config.model.vocab_size) {
    decoder_.load(weights);
  }

  void answer(std::span<Sequence> group) {
    double begin = now_seconds();
    for (size_t i = 0; i < group.size(); ++i) {
      const int slot = static_cast<int>(i);
      decoder_.reset(slot);
      stats_.prompt_tokens += static_cast<int64_t>(group[i].history.size());
      accept(group[i], choice(group[i], decoder_.prefill(slot, group[i].history).f32()));
    }
    stats_.prefill_seconds += now_seconds() - begin;
    begin = now_seconds();
    while (step(group)) {}
    stats_.decode_seconds += now_seconds() - begin;
  }
  const GenerateStats& stats() const { return stats_; }

 private:
  /// One more token for each that is not done; false where all are.
  bool step(std::span<Sequence> group) {
    slots_.clear();
    tokens_.clear();
    for (size_t i = 0; i < group.size(); ++i) {
      if (group[i].done) continue;
      slots_.push_back(static_cast<int>(i));
      tokens_.push_back(group[i].history.back());
    }
    if (slots_.empty()) return false;
    const auto sequence = [&](size_t k) -> Sequence& { return group[static_cast<size_t>(slots_[k])]; };
    if (options_.sampling.greedy()) {
      const std::span<const int32_t> ids = decoder_.step_likeliest(slots_, tokens_);
      for (size_t k = 0; k < ids.size(); ++k) accept(sequence(k), checked_choice(ids[k]));
      return true;
    }
    const Tensor logits = decoder_.step(slots_, tokens_);
    for (size_t k = 0; k < slots_.size(); ++k)
      accept(sequence(k), choice(sequence(k), logits.f32() + static_cast<int64_t>(k) * logits.size(1)));
    return true;
  }

  /// Rows beyond the tokenizer's vocabulary are padding of the matrix, not tokens.
  int32_t choice(const Sequence& s, float* logits) {
    const auto vocab = static_cast<size_t>(model_.tokenizer.vocab_size());
    return sampler_.next({logits, vocab}, s.history, static_cast<int64_t>(s.prompt));
  }

  void accept(Sequence& s, int32_t id) {
    ++stats_.new_tokens;
    const bool eos = id == model_.config.eos_token_id || id == model_.tokenizer.eos_id();
    if (eos && !options_.ignore_eos) return finish(s, "eos");
    s.history.push_back(id);
    s.out.ids.push_back(id);
    show(s, s.filter.push(s.decoder.push(id)));
    if (s.filter.found())
      finish(s, "stop");
    else if (static_cast<int64_t>(s.out.ids.size()) == options_.max_new_tokens)
      finish(s, "length");
  }

  void finish(Sequence& s, const char* reason) {
    s.done = true;
    s.out.finish_reason = reason;
    if (s.filter.found()) return;  // bytes behind the stop string are not text
    std::string rest = s.filter.push(s.decoder.finish());
    rest += s.filter.finish();
    show(s, rest);
  }

  void show(Sequence& s, const std::string& text) {
    s.out.text += text;
    if (on_text_ && !text.empty()) on_text_(s.prompt, text);
  }

  const LoadedModel& model_;
  const GenerateOptions& options_;
  const OnText& on_text_;
  Decoder decoder_;
  Sampler sampler_;
  GenerateStats stats_;
  std::vector<int> slots_;
  std::vector<int32_t> tokens_;
};

}  // namespace

DType kept_type(const WeightFiles& files, Device device) {
  if (device == kCpu) return DType::f32;
  const std::vector<std::string> names = files.names();
  const DType stored = names.empty() ? DType::f32 : files.at(names[0]).dtype;
  return stored == DType::bf16 || stored == DType::f16 ? stored : DType::f32;
}

LoadedModel load_model_folder(const std::string& folder) {
  LoadedModel model{folder, ModelConfig::from_json(read_json(folder + "/config.json")), Tokenizer::load(folder)};
  if (model.tokenizer.vocab_size() > model.config.vocab_size)
    throw ConfigError(cat(folder, ": the tokenizer has ", model.tokenizer.vocab_size(),
                          " tokens, the model's vocab_size is ", model.config.vocab_size,
                          "; they do not belong together"));
  return model;
}

Generator::Generator(LoadedModel model, ThreadPool& pool, Device device, const Groups* groups, CudaOptions gpu)
    : model_(std::move(model)), pool_(pool), device_(device), groups_(groups), gpu_(std::move(gpu)) {}

std::vector<int32_t> Generator::prompt_ids(const std::string& prompt, const GenerateOptions& options) const {
  std::vector<int32_t> ids;
  const auto start = model_.config.bos_token_id >= 0 ? std::optional(static_cast<int32_t>(model_.config.bos_token_id))
                                                     : model_.tokenizer.eos_id();
  if (!options.raw_prompt && start) {
    if (*start >= model_.tokenizer.vocab_size())
      throw ConfigError(cat(model_.folder, "/config.json: bos_token_id is ", *start, ", but the tokenizer has ",
                            model_.tokenizer.vocab_size(), " tokens; correct it or give --raw-prompt"));
    ids.push_back(*start);
  }
  const std::vector<int32_t> text = model_.tokenizer.encode(prompt);
  ids.insert(ids.end(), text.begin(), text.end());
  if (ids.empty())
    throw ConfigError("the prompt is empty and this tokenizer has no token that begins a document; give --prompt");
  return ids;
}

int64_t Generator::check(const std::vector<std::string>& prompts, const GenerateOptions& options) const {
  options.sampling.validate();
  const int64_t positions = model_.config.max_position_embeddings;
  if (options.max_new_tokens < 1 || options.max_new_tokens > positions)
    throw ConfigError(
        cat("max-new-tokens is ", options.max_new_tokens, ", expected 1 to ", positions, ", the model's positions"));
  for (const std::string& stop : options.stop)
    if (stop.empty()) throw ConfigError("an empty stop string would end every text at once");
  int64_t capacity = 0;
  for (const std::string& prompt : prompts)
    capacity = std::max(capacity, static_cast<int64_t>(prompt_ids(prompt, options).size()) + options.max_new_tokens);
  if (capacity > positions)
    throw ConfigError(cat("prompt and new tokens need ", capacity, " positions, the model has ", positions,
                          "; shorten the prompt or lower --max-new-tokens"));
  return capacity;
}

std::vector<Generation> Generator::generate(const std::vector<std::string>& prompts, const GenerateOptions& options,
                                            const OnText& on_text, GenerateStats* stats) {
  const int64_t capacity = check(prompts, options);
  std::vector<Sequence> all;
  for (size_t i = 0; i < prompts.size(); ++i)
    all.push_back({i, prompt_ids(prompts[i], options), StreamDecoder(model_.tokenizer), StopFilter(options.stop), {}});
  if (all.empty()) return {};

  const size_t width = std::min(kSideBySide, all.size());
  const WeightFiles weights(model_.folder);
  Answers answers(model_, weights, options, on_text,
                  {.model = model_.config,
                   .param_dtype = kept_type(weights, device_),
                   .sequences = static_cast<int>(width),
                   .capacity = capacity,
                   .choices = model_.tokenizer.vocab_size(),
                   .device = device_,
                   .gpu = gpu_},
                  pool_, groups_);
  for (size_t first = 0; first < all.size(); first += width)
    answers.answer(std::span(all).subspan(first, std::min(width, all.size() - first)));
  if (stats != nullptr) *stats = answers.stats();
  std::vector<Generation> results;
  for (Sequence& s : all) results.push_back(std::move(s.out));
  return results;
}

}  // namespace trireme
