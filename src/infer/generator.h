// From prompts to text: a loaded model with its tokenizer, several prompts side by side, text handed out as it comes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "infer/decoder.h"
#include "infer/sampler.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

/// A Hugging Face directory: config.json, weights, tokenizer.
struct LoadedModel {
  std::string folder;
  ModelConfig config;
  Tokenizer tokenizer;
};

/// Reads config and tokenizer. ConfigError where their vocabularies do not fit each other.
LoadedModel load_model_folder(const std::string& folder);

/// What weights are computed in where nothing is trained: float32 on the CPU; on a GPU, where memory
/// and reading them are most of the cost, the type that they are stored in.
DType kept_type(const WeightFiles& files, Device device);

struct GenerateOptions {
  SamplingParams sampling;
  int64_t max_new_tokens = 128;
  std::vector<std::string> stop;  // the text ends before the first of these
  bool raw_prompt = false;        // do not begin with the token that parts documents
  bool ignore_eos = false;        // go on after the end-of-text token
};

struct Generation {
  std::string text;  // without the prompt
  std::vector<int32_t> ids;
  std::string finish_reason;  // "eos", "stop", "length"
};

struct GenerateStats {
  int64_t prompt_tokens = 0, new_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
};

/// Called with the number of the prompt and what its text has grown by: whole UTF-8 characters.
using OnText = std::function<void(size_t prompt, std::string_view text)>;

class Generator {
 public:
  /// `groups`: as of a Decoder. Each rank makes the same calls and gets the same texts.
  Generator(LoadedModel model, ThreadPool& pool, Device device = kCpu, const Groups* groups = nullptr,
            CudaOptions gpu = {});

  const LoadedModel& model() const { return model_; }
  /// Positions that the longest prompt and its new tokens take. ConfigError where the model has not as many, or an
  /// option is out of range.
  int64_t check(const std::vector<std::string>& prompts, const GenerateOptions& options) const;
  /// One generation a prompt. ConfigError as of check().
  std::vector<Generation> generate(const std::vector<std::string>& prompts, const GenerateOptions& options,
                                   const OnText& on_text, GenerateStats* stats = nullptr);

 private:
  std::vector<int32_t> prompt_ids(const std::string& prompt, const GenerateOptions& options) const;
  LoadedModel model_;
  ThreadPool& pool_;
  Device device_;
  const Groups* groups_;
  CudaOptions gpu_;
};

}  // namespace trireme
