// trireme data samples: what a run will see; of a recipe as text, of token files as ids.
#include <algorithm>
#include <array>

#include "app/commands.h"
#include "app/make_data.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "base/strings.h"
#include "data/blend.h"

namespace trireme {
namespace {

Json sample_json(int64_t index, std::span<const int32_t> ids, const std::string* text) {
  Json row = Json::object();
  row["sample"] = index;
  row["ids"] = Json::array();
  for (const int32_t id : ids) row["ids"].push_back(id);
  if (text != nullptr) row["text"] = *text;
  return row;
}

struct Choice {
  std::vector<std::string> words;  // of the command line: what to show samples of, then keys of a recipe
  int64_t first = 0, count = -1;
  bool json = false;
  // Of token files only.
  int64_t sequence_length = 0, num_samples = 0, seed = -1;
  std::string split, part, order;

  bool is_recipe() const { return ends_with(words[0], ".yaml") || ends_with(words[0], ".yml"); }
};

template <size_t N>
size_t index_of(const char* option, const std::string& word, const std::array<std::string_view, N>& names) {
  const auto found = std::find(names.begin(), names.end(), word);
  if (found == names.end())
    throw ConfigError(cat(option, " does not know '", word, "'", did_you_mean(word, std::span(names))));
  return static_cast<size_t>(found - names.begin());
}

std::array<double, 3> parse_split(std::string text) {
  std::replace(text.begin(), text.end(), '/', ',');
  std::array<double, 3> shares{};
  const std::vector<std::string> words = split(text, ',');
  bool good = words.size() <= shares.size();
  for (size_t i = 0; good && i < words.size(); ++i) good = parse_real(words[i], shares[i]) && shares[i] >= 0;
  if (!good || shares[0] + shares[1] + shares[2] <= 0)
    throw ConfigError(cat("--split is '", text, "', expected up to three shares such as 949,50,1"));
  return shares;
}

void check_range(const Choice& choice, int64_t total, const char* what) {
  if (choice.first < 0 || choice.count < 0 || choice.first > total - choice.count)
    throw ConfigError(
        cat("--first ", choice.first, " --count ", choice.count, ": ", what, " the samples 0 to ", total - 1));
}

void show_recipe(Choice& choice) {
  if (choice.sequence_length != 0 || choice.num_samples != 0 || choice.seed >= 0 || !choice.split.empty() ||
      !choice.part.empty() || !choice.order.empty())
    throw ConfigError(
        "--sequence-length, --num-samples, --seed, --split, --part and --order belong to token files; of a recipe set "
        "keys, such as data.sequence_length=512");
  if (choice.count < 0) choice.count = 3;
  const RunConfig config = load_recipe(choice.words[0], std::span(choice.words).subspan(1));
  const int64_t total = config.train.max_steps * config.data.global_batch_size;
  check_range(choice, total, "the run has");
  ThreadPool pool(static_cast<int>(config.train.threads));
  const Tokenizer tokenizer = ensure_data(config, pool);
  const std::vector<IndexedDataset> sets = open_token_files(config.data, tokenizer.vocab_size());
  const std::unique_ptr<SampleOrder> order =
      make_blend_order(sets, parse_blend(config.data.blend), config.data, DataPart::train, total);
  std::vector<int32_t> window(static_cast<size_t>(config.data.sequence_length) + 1);
  for (int64_t i = choice.first; i < choice.first + choice.count; ++i) {
    order->sample(window, i);
    const std::span<const int32_t> ids = std::span(window).first(static_cast<size_t>(order->num_targets(i)) + 1);
    const std::string text = tokenizer.decode(ids);
    print(choice.json ? sample_json(i, ids, &text).dump() + "\n" : cat("==== sample ", i, "\n", text, "\n"));
  }
}

void show_token_files(Choice& choice) {
  DataConfig config;
  if (choice.sequence_length < 1 || choice.num_samples < 1)
    throw ConfigError(
        cat("the samples of token files take --sequence-length and --num-samples, both at least 1 (a "
            "recipe's name ends with .yaml)"));
  config.sequence_length = choice.sequence_length;
  if (choice.seed >= 0) config.seed = choice.seed;
  if (!choice.split.empty()) config.split = parse_split(choice.split);
  constexpr std::array<std::string_view, 3> kParts = {"train", "validation", "test"};  // as DataPart
  const auto part = static_cast<DataPart>(choice.part.empty() ? 0 : index_of("--part", choice.part, kParts));
  if (!choice.order.empty()) config.order = static_cast<DataOrder>(index_of("--order", choice.order, kDataOrderNames));
  if (choice.count < 0) choice.count = choice.num_samples - std::clamp<int64_t>(choice.first, 0, choice.num_samples);
  check_range(choice, choice.num_samples, "--num-samples makes");

  const std::vector<BlendSource> sources = parse_blend(choice.words);
  std::vector<IndexedDataset> sets;
  for (const BlendSource& source : sources) sets.emplace_back(source.prefix);
  const std::unique_ptr<SampleOrder> order = make_blend_order(sets, sources, config, part, choice.num_samples);
  std::vector<int32_t> window(static_cast<size_t>(config.sequence_length) + 1);
  std::string line;
  for (int64_t i = choice.first; i < choice.first + choice.count; ++i) {
    order->sample(window, i);
    line.clear();
    if (choice.json)
      line = sample_json(i, window, nullptr).dump();
    else
      for (const int32_t id : window) line.append(line.empty() ? "" : " ").append(std::to_string(id));
    print(line + "\n");
  }
}

}  // namespace

int cmd_data_samples(CommandLine& line) {
  Choice choice;
  line.positional(
      "RECIPE|PREFIX", choice.words,
      "YAML file, then keys to set (KEY=VALUE); or token files of Megatron-LM, PaddleFleetX or llm.c, several of "
      "them as PREFIX:WEIGHT");
  line.option("--first", choice.first, "index of the first sample to show, from 0 in the order of training");
  line.option("--count", choice.count, "samples to show; -1: 3 of a recipe, all of token files");
  line.option("--sequence-length", choice.sequence_length,
              "of token files: targets of a sample, T; T + 1 ids are shown");
  line.option("--num-samples", choice.num_samples, "of token files: samples of the whole run");
  line.option("--seed", choice.seed, "of token files: seed of the order; -1: 1234");
  line.option("--split", choice.split, "of token files: shares of train, validation and test; default 949,50,1");
  line.option("--part", choice.part, "of token files: train (default), validation or test");
  line.option("--order", choice.order, "of token files: trireme (default), megatron, megatron-v1.1.5 or paddle");
  line.flag("--json", choice.json, "print one JSON object for each sample");
  line.example(
      "trireme data samples recipes/poetry-tiny.yaml --first 100 --count 2\n"
      "  trireme data samples data/poems --sequence-length 256 --num-samples 8 --order megatron");
  if (!line.parse()) return kDone;
  if (choice.is_recipe())
    show_recipe(choice);
  else
    show_token_files(choice);
  return kDone;
}

}  // namespace trireme
