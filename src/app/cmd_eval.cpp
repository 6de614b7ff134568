// trireme eval: how well a model predicts token files.
#include <algorithm>
#include <cmath>

#include "app/commands.h"
#include "app/model_folder.h"
#include "app/pick_device.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "checkpoint/model_io.h"
#include "checkpoint/shards.h"
#include "comm/group.h"
#include "data/prepare.h"
#include "infer/generator.h"
#include "train/evaluate.h"

namespace trireme {
namespace {

constexpr int64_t kLongestDefault = 1024;  // tokens of a window where the user names none

/// Bytes of text that the targets stand for: all ids but the first; special tokens stand for none.
int64_t target_bytes(const IndexedDataset& tokens, const Tokenizer& tokenizer) {
  int64_t bytes = 0;
  bool first = true;
  std::vector<int32_t> ids;
  for (int64_t d = 0; d < tokens.num_documents(); ++d) {
    ids.resize(static_cast<size_t>(tokens.document_length(d)));
    tokens.read_document(ids, d, 0);
    for (const int32_t id : ids) {
      if (!first && !tokenizer.is_special(id)) bytes += static_cast<int64_t>(tokenizer.token(id).size());
      first = false;
    }
  }
  return bytes;
}

EvalResult evaluate_files(const LoadedModel& model, const IndexedDataset& tokens, const DataConfig& data, Device device,
                          ThreadPool& pool) {
  EngineConfig config;
  config.model = model.config;
  config.micro_batch_size = data.micro_batch_size;
  config.sequence_length = data.sequence_length;
  config.micro_batches = 0;
  config.device = device;
  SingleGroup single;
  Engine engine(config, Groups::alone(single), pool);
  const WeightFiles weights(model.folder);
  read_model_weights(model.config, engine.params(), [&](const std::string& name) { return weights.find(name); });
  return evaluate_part(engine, tokens, {0, tokens.num_documents()}, data, 0, single);
}

}  // namespace

int cmd_eval(CommandLine& line) {
  std::string path, prefix, device = "auto";
  DataConfig data;
  data.sequence_length = 0;
  int64_t threads = 0;
  bool json = false;
  line.positional("RUN|FOLDER", path, "run folder (its newest good checkpoint), checkpoint or Hugging Face folder");
  line.option("--data", prefix, "token files PREFIX.bin and PREFIX.idx", CommandLine::Need::required);
  line.option("--sequence-length", data.sequence_length, "tokens of a window; 0: the model's positions, at most 1024");
  line.option("--batch-size", data.micro_batch_size, "windows that go through the model at once");
  line.option("--device", device, "auto, cpu or cuda");
  line.option("--threads", threads, "CPU threads; 0: one for each available core");
  line.flag("--json", json, "print one JSON object");
  line.example("trireme eval runs/poetry-tiny --data data/poems-test");
  if (!line.parse()) return kDone;
  if (data.micro_batch_size < 1 || data.micro_batch_size > 1 << 20) {
    throw ConfigError(cat("--batch-size is ", data.micro_batch_size, ", expected 1 to 1048576"));
  }

  ThreadPool pool(checked_threads(threads));
  const LoadedModel model = load_model_folder(model_folder(path, pool));
  const int64_t positions = model.config.max_position_embeddings;
  if (data.sequence_length == 0) data.sequence_length = std::min(positions, kLongestDefault);
  if (data.sequence_length < 1 || data.sequence_length > positions) {
    throw ConfigError(
        cat("--sequence-length is ", data.sequence_length, ", expected 1 to ", positions, " (the model's positions)"));
  }
  require_tokenizer(prefix, model.tokenizer.fingerprint(), model.tokenizer.vocab_size());
  const IndexedDataset tokens(prefix, model.tokenizer.vocab_size());
  const EvalResult result = evaluate_files(model, tokens, data, pick_device(device), pool);
  const int64_t bytes = target_bytes(tokens, model.tokenizer);
  const double bits_per_byte = result.loss * static_cast<double>(result.targets) / std::log(2.0) /
                               static_cast<double>(std::max<int64_t>(1, bytes));
  if (json) {
    Json row = Json::object();
    row["loss"] = result.loss;
    row["perplexity"] = std::exp(result.loss);
    row["bits_per_byte"] = bits_per_byte;
    row["targets"] = result.targets;
    row["bytes"] = bytes;
    print(row.dump() + "\n");
  } else {
    print(cat("loss ", number(result.loss, 6), ", perplexity ", number(std::exp(result.loss), 6), ", bits per byte ",
              number(bits_per_byte, 5), " (", result.targets, " tokens, ", bytes, " bytes)\n"));
  }
  return kDone;
}

}  // namespace trireme
