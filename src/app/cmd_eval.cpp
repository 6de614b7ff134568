// trireme eval: how well a model predicts token files.
#include <algorithm>
#include <cmath>
#include <optional>

#include "app/commands.h"
#include "app/model_folder.h"
#include "app/model_layout.h"
#include "app/pick_device.h"
#include "app/ranks.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "checkpoint/model_io.h"
#include "checkpoint/shards.h"
#include "data/prepare.h"
#include "infer/generator.h"
#include "tokenizer/stream_decoder.h"
#include "train/evaluate.h"

namespace trireme {
namespace {

constexpr int64_t kLongestDefault = 1024;  // tokens of a window where the user names none

/// Bytes of text that the targets stand for: those of all documents, less what the first id, which is no target, is by
/// itself; special tokens stand for none.
int64_t target_bytes(const IndexedDataset& tokens, const Tokenizer& tokenizer) {
  int64_t bytes = 0;
  bool first = true;
  std::vector<int32_t> ids;
  for (int64_t d = 0; d < tokens.num_documents(); ++d) {
    ids.resize(static_cast<size_t>(tokens.document_length(d)));
    tokens.read_document(ids, d, 0);
    bytes += text_bytes(tokenizer, ids);
    if (first && !ids.empty()) bytes -= text_bytes(tokenizer, std::span(ids).first(1));
    first = first && ids.empty();
  }
  return bytes;
}

EvalResult evaluate_files(const LoadedModel& model, const IndexedDataset& tokens, const DataConfig& data, Device device,
                          const Groups& groups, ThreadPool& pool) {
  const WeightFiles weights(model.folder);
  EngineConfig config;
  config.model = model.config;
  config.precision.param_dtype = kept_type(weights, device);
  config.micro_batch_size = data.micro_batch_size;
  config.sequence_length = data.sequence_length;
  config.micro_batches = 0;
  config.device = device;
  config.gpu = {.cache_folder = user_cache_folder()};
  Engine engine(config, groups, pool);
  read_model_weights(model.config, engine.params(), [&](const std::string& name) { return weights.find(name); });
  const EvalResult result = evaluate_part(engine, tokens, {0, tokens.num_documents()}, data, 0, *groups.dp);
  if (!std::isfinite(result.loss))
    throw NumericError(cat(model.folder, ": the loss is not finite; the weights are damaged or diverged in training",
                           config.precision.param_dtype == DType::f16
                               ? ", or float16 is too narrow for them: --device cpu computes in float32"
                               : ""));
  return result;
}

struct Request {
  std::string path, prefix, device = "auto";
  std::vector<std::string> layout;
  DataConfig data;
  int64_t threads = 0;
  bool json = false;
};

void print_result(const EvalResult& result, int64_t bytes, bool json) {
  const double bits_per_byte = result.loss * static_cast<double>(result.targets) / std::log(2.0) /
                               static_cast<double>(std::max<int64_t>(1, bytes));
  if (!json)
    return print(cat("loss ", number(result.loss, 6), ", perplexity ", number(std::exp(result.loss), 6),
                     ", bits per byte ", number(bits_per_byte, 5), " (", result.targets, " tokens, ", bytes,
                     " bytes)\n"));
  Json row = Json::object();
  row["loss"] = result.loss;
  row["perplexity"] = std::exp(result.loss);
  row["bits_per_byte"] = bits_per_byte;
  row["targets"] = result.targets;
  row["bytes"] = bytes;
  print(row.dump() + "\n");
}

/// Evaluates with all ranks; rank 0 prints.
int evaluate(Request request, Ranks& ranks) {
  ThreadPool pool(request.threads > 0 ? checked_threads(request.threads) : ranks.threads());
  std::optional<LoadedModel> model;
  std::optional<IndexedDataset> tokens;
  const auto load = [&](const std::string& folder) {
    model.emplace(load_model_folder(folder));
    const int64_t positions = model->config.max_position_embeddings;
    int64_t& length = request.data.sequence_length;
    if (length == 0) length = std::min(positions, kLongestDefault);
    if (length < 1 || length > positions)
      throw ConfigError(
          cat("--sequence-length is ", length, ", expected 1 to ", positions, " (the model's positions)"));
    require_tokenizer(request.prefix, model->tokenizer.fingerprint(), model->tokenizer.vocab_size());
    tokens.emplace(request.prefix, model->tokenizer.vocab_size());
  };
  const std::string folder = ranks.from_first([&] {
    model_layout(request.path, request.layout, ranks.size(), true);
    std::string found = model_folder(request.path, pool);
    load(found);
    return found;
  });
  if (!model) load(folder);
  const Groups& groups = ranks.make_groups(model_layout(request.path, request.layout, ranks.size(), true));
  const EvalResult result =
      evaluate_files(*model, *tokens, request.data, pick_device(request.device, ranks.size()), groups, pool);
  if (ranks.rank() == 0) print_result(result, target_bytes(*tokens, model->tokenizer), request.json);
  return kDone;
}

}  // namespace

int cmd_eval(CommandLine& line) {
  Request request;
  DataConfig& data = request.data;
  data.sequence_length = 0;
  line.positional("RUN|FOLDER", request.path,
                  "run folder (its newest good checkpoint), checkpoint or Hugging Face folder");
  line.positional("KEY=VALUE", request.layout, "parallel.tensor and parallel.pipeline of several processes",
                  CommandLine::Need::optional);
  line.option("--data", request.prefix, "token files PREFIX.bin and PREFIX.idx", CommandLine::Need::required);
  line.option("--sequence-length", data.sequence_length, "tokens of a window; 0: the model's positions, at most 1024");
  line.option("--batch-size", data.micro_batch_size, "windows that go through the model at once");
  line.option("--device", request.device, "auto, cpu or cuda");
  line.option("--threads", request.threads, "CPU threads; 0: one for each available core");
  line.flag("--json", request.json, "print one JSON object");
  line.example("trireme eval runs/poetry-tiny --data data/poems-test");
  if (!line.parse()) return kDone;
  if (data.micro_batch_size < 1 || data.micro_batch_size > 1 << 20) {
    throw ConfigError(cat("--batch-size is ", data.micro_batch_size, ", expected 1 to 1048576"));
  }
  checked_threads(request.threads);
  Ranks ranks(read_environment());
  return ranks.run([&] { return evaluate(std::move(request), ranks); });
}

}  // namespace trireme
