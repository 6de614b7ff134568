// What is built from a configuration: the parameters and their names on disk.
#include "models/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "models/names.h"
#include "support/tiny_models.h"

namespace trireme {
namespace {

Model build(const ModelConfig& config) {
  SingleGroup single;
  return build_model(config, single, {.positions = 1});
}

TEST(Presets, HaveThePublishedNumberOfParameters) {
  // gpt2*, llama, qwen*: as transformers counts the released weights, each once where tied; gpt3-1.3b and 2.7b with the
  // vocabulary padded to 50304; ti-*: by the formula V C + P C + L (12 C^2 + 13 C) + 2 C.
  const std::map<std::string, int64_t> expected = {
      {"gpt2-124m", 124439808},    {"gpt2-355m", 354823168},  {"gpt2-774m", 774030080},    {"gpt2-1.5b", 1557611200},
      {"gpt3-1.3b", 1313722368},   {"gpt3-2.7b", 2651673600}, {"ti-10b", 10279239680},     {"ti-100b", 96876240896},
      {"llama3.2-1b", 1235814400}, {"llama3-8b", 8030261248}, {"qwen2.5-0.5b", 494032768}, {"qwen2.5-1.5b", 1543714304},
      {"qwen2.5-7b", 7615616512},  {"qwen3-0.6b", 596049920},
  };
  for (const auto& [name, count] : expected)
    EXPECT_EQ(count_parameters(build(ModelConfig::from_json(Json(name))).params), count) << name;
}

TEST(Names, AreExactlyTheTensorsThatTransformersWrote) {
  for (const char* name : {"gpt2_tied", "gpt2_untied", "llama", "qwen2", "qwen3"}) {
    const std::string folder = cat(TRIREME_SOURCE_DIR, "/tests/golden/", name);
    const ModelConfig config = ModelConfig::from_json(read_json(folder + "/config.json"));
    const Model model = build(config);
    std::map<std::string, std::string> ours, theirs;
    for (const DiskTensor& t : disk_tensors(config, model.params))
      EXPECT_TRUE(ours.emplace(t.name, t.shape.str()).second) << t.name;
    // The header of safetensors, read without our reader: u64 length, then JSON.
    const std::string file = read_file(folder + "/model.safetensors");
    uint64_t length = 0;
    std::copy_n(file.data(), sizeof length, reinterpret_cast<char*>(&length));
    const Json header = Json::parse(file.substr(sizeof length, length), name);
    for (const auto& [tensor, entry] : header.members()) {
      if (tensor == "__metadata__") continue;
      Shape shape;
      for (const Json& size : entry.at("shape").items()) shape[shape.rank++] = size.as_integer();
      theirs[tensor] = shape.str();
    }
    EXPECT_EQ(ours, theirs) << name;
  }
}

TEST(Names, CoverEveryElementOfEveryParameterOnce) {
  ModelConfig biased = testing::tiny_llama();
  biased.mlp_bias = true;
  for (const ModelConfig& config : {testing::tiny_gpt2(), testing::tiny_llama(), biased}) {
    const Model model = build(config);
    std::map<std::string, std::vector<std::pair<int64_t, int64_t>>> rows;
    for (const DiskTensor& t : disk_tensors(config, model.params)) {
      const int64_t count = t.transposed ? t.shape[1] : t.shape[0];
      rows[t.param->spec.name].emplace_back(t.row_begin, t.row_begin + count);
    }
    for (const Param& param : model.params) {
      if (!param.spec.tied_to.empty()) continue;
      auto& parts = rows[param.spec.name];
      std::sort(parts.begin(), parts.end());
      int64_t end = 0;
      for (const auto& [from, to] : parts) {
        EXPECT_EQ(from, end) << param.spec.name;
        end = to;
      }
      EXPECT_EQ(end, param.spec.shape[0]) << param.spec.name;
    }
  }
}

TEST(Model, DecayIsForMatricesOnly) {
  for (const ModelConfig& config : {testing::tiny_gpt2(), testing::tiny_llama()})
    for (const Param& p : build(config).params) EXPECT_EQ(p.spec.decay, p.spec.shape.rank == 2) << p.spec.name;
}

TEST(Model, EveryTensorRankNeedsAQueryHeadAndKeyValueHeadsAreShared) {
  for (int rank = 0; rank < 4; ++rank) {
    PlanGroup four(rank, 4);
    const Model model = build_model(testing::tiny_llama(), four);  // four query heads, two key-value heads
    for (const Param& p : model.params)
      if (p.spec.name == "blocks.0.attn.qkv.weight") {
        EXPECT_EQ(p.local_shape[0], (1 + 2) * 8);
        EXPECT_EQ(p.own.size(), rank % 2 == 0 ? 3U : 1U);  // q, and k and v on the first of those that share them
      }
  }
  PlanGroup five(0, 5);
  EXPECT_THROW(build_model(testing::tiny_llama(), five), ConfigError);
}

}  // namespace
}  // namespace trireme
