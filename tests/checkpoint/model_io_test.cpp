#include "checkpoint/model_io.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/sample.h"
#include "checkpoint/shards.h"

namespace trireme {
namespace {

using testing::io_error;

/// The parameters that a tiny model of a family has, on rank `rank` of `size`, each element set from its global index.
struct TinyModel {
  ModelConfig config;
  ParamTable params;
  std::vector<std::vector<float>> memory;

  TinyModel(const std::string& family, int rank, int size, bool fill) {
    config.model_type = family;
    config.vocab_size = 6;
    config.hidden_size = 4;
    config.num_hidden_layers = 1;
    config.num_attention_heads = config.num_key_value_heads = 2;
    config.head_dim = 2;
    config.intermediate_size = 6;
    config.max_position_embeddings = 3;
    config.tie_word_embeddings = true;
    ParamBuilder builder(params, rank, size);
    const auto add = [&](const std::string& name, const Shape& shape, const Split& split = {}) {
      ParamSpec spec;
      spec.name = name;
      spec.shape = shape;
      spec.split = split;
      builder.add(spec);
    };
    const bool gpt2 = config.is_gpt2();
    add("embedding.tokens.weight", {6, 4}, {0, {6}, 1});
    if (gpt2) add("embedding.positions.weight", {3, 4});
    for (const char* norm : {"blocks.0.norm1", "blocks.0.norm2", "head.norm"}) {
      add(cat(norm, ".weight"), {4});
      if (gpt2) add(cat(norm, ".bias"), {4});
    }
    add("blocks.0.attn.qkv.weight", {12, 4}, {0, {4, 4, 4}, 2});
    add("blocks.0.attn.out.weight", {4, 4}, {1, {4}, 2});
    add(gpt2 ? "blocks.0.mlp.up.weight" : "blocks.0.mlp.gate_up.weight", {gpt2 ? 6 : 12, 4},
        gpt2 ? Split{0, {6}, 1} : Split{0, {6, 6}, 1});
    add("blocks.0.mlp.down.weight", {4, 6}, {1, {6}, 1});
    if (gpt2) {
      add("blocks.0.attn.qkv.bias", {12}, {0, {4, 4, 4}, 2});
      add("blocks.0.mlp.up.bias", {6}, {0, {6}, 1});
      for (const char* name : {"blocks.0.attn.out.bias", "blocks.0.mlp.down.bias"}) add(name, {4});
    }
    for (Param& p : params) {
      std::vector<float>& values = memory.emplace_back(static_cast<size_t>(p.local_shape.numel()), -1.0F);
      p.value = Tensor(values.data(), DType::f32, kCpu, p.local_shape);
      if (fill) set_expected(p, values);
    }
  }

  static void set_expected(const Param& p, std::vector<float>& values) {
    const int64_t cols = whole_box(p.spec.shape).cols, local_cols = whole_box(p.local_shape).cols;
    int64_t row = 0, col = 0;
    for (const Box& b : p.local_boxes) {
      for (int64_t r = 0; r < b.rows; ++r)
        for (int64_t c = 0; c < b.cols; ++c)
          values[static_cast<size_t>((row + r) * local_cols + col + c)] =
              static_cast<float>((b.row + r) * cols + b.col + c) + static_cast<float>(p.spec.name.size()) * 1000;
      (p.spec.split.dim == 1 ? col : row) += p.spec.split.dim == 1 ? b.cols : b.rows;
    }
  }

  CheckpointContent content() const {
    CheckpointContent c;
    c.weights = model_weights(config, params);
    c.config = Json::object();
    c.trainer_state = Json::object();
    return c;
  }
};

TEST(ModelIo, AnyTensorParallelRankReadsItsPartOfTheWholeModel) {
  for (const std::string family : {"gpt2", "llama"}) {
    const testing::TempDir dir;
    const SavedCheckpoint saved =
        save_checkpoint(dir.path(), 1, TinyModel(family, 0, 1, true).content(), real_file_system(), nullptr);
    const WeightFiles files(saved.path);
    for (const int size : {1, 2})
      for (int rank = 0; rank < size; ++rank) {
        const TinyModel expected(family, rank, size, true);
        TinyModel read(family, rank, size, false);
        read_model_weights(read.config, read.params, [&](const std::string& name) { return files.find(name); });
        for (size_t i = 0; i < read.memory.size(); ++i)
          EXPECT_EQ(read.memory[i], expected.memory[i])
              << family << " " << rank << " of " << size << ": " << read.params[i].spec.name;
      }
  }
}

TEST(ModelIo, Gpt2MatricesLieTransposedOnDisk) {
  const testing::TempDir dir;
  const TinyModel model("gpt2", 0, 1, true);
  const SavedCheckpoint saved = save_checkpoint(dir.path(), 1, model.content(), real_file_system(), nullptr);
  const StoredTensor up = WeightFiles(saved.path).at("transformer.h.0.mlp.c_fc.weight");
  EXPECT_TRUE((up.shape == Shape{4, 6}));
}

TEST(ModelIo, ReadsGpt2NamesWithoutPrefix) {
  const testing::TempDir dir;
  const TinyModel model("gpt2", 0, 1, true);
  CheckpointContent content = model.content();
  for (NamedTensor& t : content.weights) t.name.erase(0, std::string("transformer.").size());
  const WeightFiles files(save_checkpoint(dir.path(), 1, content, real_file_system(), nullptr).path);
  TinyModel read("gpt2", 0, 1, false);
  read_model_weights(read.config, read.params, [&](const std::string& name) { return files.find(name); });
  EXPECT_EQ(read.memory, model.memory);
}

TEST(ModelIo, NamesTheTensorThatIsMissingOrOfAnotherShape) {
  const testing::TempDir dir;
  const TinyModel model("llama", 0, 1, true);
  const WeightFiles files(save_checkpoint(dir.path(), 1, model.content(), real_file_system(), nullptr).path);
  TinyModel read("llama", 0, 1, false);
  EXPECT_NE(io_error([&] {
              read_model_weights(read.config, read.params, [&](const std::string& name) {
                return name == "model.norm.weight" ? std::nullopt : files.find(name);
              });
            }).find("lack the tensor model.norm.weight"),
            std::string::npos);
  const std::string message = io_error([&] {
    read_model_weights(read.config, read.params, [&](const std::string& name) {
      auto tensor = files.find(name);
      if (name == "model.norm.weight") tensor->shape = {5};
      return tensor;
    });
  });
  EXPECT_NE(message.find("model.norm.weight: expected shape (4) from config.json, found (5)"), std::string::npos)
      << message;
}

}  // namespace
}  // namespace trireme
