// A new token on a GPU: products that take norms and residuals along give the bits of ops one after the other.
#include <gtest/gtest.h>

#include <deque>

#include "comm/group.h"
#include "device/cuda.h"
#include "models/model.h"
#include "ops/basic.h"
#include "params/param_store.h"
#include "support/tiny_models.h"

namespace trireme {
namespace {

constexpr Device kGpu{DeviceKind::cuda, 0};

/// 17 packs of bfloat16 a row, which are no power of two; heads of 64 channels, grouped.
ModelConfig some_llama() {
  return ModelConfig::from_json(Json::parse(
      R"({"model_type":"llama","vocab_size":301,"hidden_size":136,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
          "head_dim":64,"intermediate_size":328,"max_position_embeddings":64})",
      "some_llama"));
}
ModelConfig wide_gpt2() {
  return ModelConfig::from_json(Json::parse(
      R"({"model_type":"gpt2","vocab_size":53,"n_embd":2080,"n_layer":1,"n_head":20,"n_positions":64})", "wide_gpt2"));
}

struct Case {
  const char* name;
  ModelConfig model;
  DType dtype;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    all.push_back({"gpt2", testing::tiny_gpt2(0.1), dtype});
    all.push_back({"wide_gpt2", wide_gpt2(), dtype});
    all.push_back({"qwen3", testing::tiny_llama(), dtype});
    all.push_back({"llama", some_llama(), dtype});
  }
  return all;
}

/// Tensors on the GPU, and what they hold.
class Memory {
 public:
  explicit Memory(DType dtype) : dtype_(dtype) {}
  static void fill(const Tensor& t, uint64_t seed, double range) {
    std::string host(static_cast<size_t>(t.bytes()), '\0');
    for (int64_t i = 0; i < t.numel(); ++i) {
      const float unit = uniform_float(RandomKey::of(seed, 5).draw(0, static_cast<uint64_t>(i))[0]);
      const auto v = static_cast<float>(range * (2.0 * static_cast<double>(unit) - 1.0));
      if (t.dtype == DType::f32) reinterpret_cast<float*>(host.data())[i] = v;
      if (t.dtype == DType::bf16) reinterpret_cast<bf16_t*>(host.data())[i] = to_bf16(v);
      if (t.dtype == DType::f16) reinterpret_cast<f16_t*>(host.data())[i] = to_f16(v);
    }
    copy_memory(t.device, t.data, kCpu, host.data(), t.bytes());
  }
  Tensor take(const Shape& shape, uint64_t seed = 1) { return take(dtype_, shape, seed); }
  Tensor take(DType dtype, const Shape& shape, uint64_t seed) {
    const Buffer& buffer = buffers_.emplace_back("test", kGpu, shape.numel() * dtype_size(dtype));
    const Tensor t = buffer.view(dtype, shape);
    fill(t, seed, 1);
    return t;
  }
  Tensor numbers(const std::vector<int32_t>& values) {
    const auto n = static_cast<int64_t>(values.size());
    const Buffer& buffer = buffers_.emplace_back("test", kGpu, n * 4);
    copy_memory(kGpu, buffer.data(), kCpu, values.data(), n * 4);
    return buffer.view(DType::i32, {n});
  }
  static std::string bytes(const Tensor& t) {
    std::string host(static_cast<size_t>(t.bytes()), '\0');
    copy_memory(kCpu, host.data(), t.device, t.data, t.bytes());
    return host;
  }

 private:
  DType dtype_;
  std::deque<Buffer> buffers_;
};

class Step : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  }
};

TEST_P(Step, TakesNormsAndResidualsAlongWithTheBitsOfOpsApart) {
  const auto& [name, config, dtype] = GetParam();
  constexpr int64_t kCapacity = 40;
  SingleGroup single;
  const CudaContextPtr cuda = make_cuda_context(kGpu);
  Model model = build_model(config, single, {.positions = kCapacity, .device = kGpu});
  const ModelLayout layout(model.params, model.num_units(), {{0, model.num_units()}}, single, 0);
  const ParamStore store(model.params, layout, dtype, kGpu, single);
  for (uint64_t seed = 10; const Param& p : model.params)
    if (p.spec.tied_to.empty()) Memory::fill(p.value, seed++, 0.3);
  for (const auto& unit : model.units) unit->set_slots(1);
  Arena keep("keep", kGpu, 8 << 20), temp("temp", kGpu, 96 << 20);
  Ctx ctx;
  ctx.device = kGpu;
  ctx.backend = DeviceKind::cuda;
  ctx.cuda = cuda.get();
  ctx.keep = &keep;
  ctx.temp = &temp;

  for (int64_t n = 1; n <= 2; ++n) {
    Memory memory(dtype);
    const Shape shape{n, model.hidden_size}, keys{n * kCapacity, config.num_key_value_heads, config.head_dim};
    const std::vector<KvView> kv(static_cast<size_t>(config.num_hidden_layers),
                                 {memory.take(keys, 2), memory.take(keys, 3)});
    std::vector<int32_t> positions, rows;
    for (int32_t i = 0; i < n; ++i) {
      positions.push_back(7 * i);
      rows.push_back(i * kCapacity);
    }
    Batch batch;
    batch.tokens = memory.numbers(positions);
    batch.positions = memory.numbers(positions);
    batch.cache_rows = memory.numbers(rows);
    batch.kv = kv;
    Tensor x = memory.take(shape, 4);
    for (size_t u = 1; u < model.units.size(); ++u) {
      SCOPED_TRACE(cat("block ", u, " of ", n, " rows"));
      const ArenaScope scope(keep);
      Unit& block = *model.units[u];
      const Tensor mid = memory.take(shape), sum = memory.take(shape), residual = memory.take(shape),
                   delta = memory.take(shape), both = memory.take(shape);
      ASSERT_EQ(block.sums(ctx, batch), n == 1);
      if (n > 1) break;
      block.forward(ctx, batch, 0, {x, {}}, {}, {residual, delta});
      block.forward(ctx, batch, 0, {x, {}}, {}, {mid, sum, true});
      add(ctx, both, residual, delta);
      EXPECT_TRUE(Memory::bytes(mid) == Memory::bytes(residual));
      EXPECT_TRUE(Memory::bytes(sum) == Memory::bytes(both));
      const Shape vocabulary{n, model.vocab_size};
      const Tensor apart = memory.take(DType::f32, vocabulary, 1), together = memory.take(DType::f32, vocabulary, 1);
      model.head->logits(ctx, apart, {residual, delta});
      model.head->logits(ctx, together, {sum, {}});
      EXPECT_TRUE(Memory::bytes(together) == Memory::bytes(apart));
      x = sum;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Step, Step, ::testing::ValuesIn(cases()),
                         [](const auto& i) { return cat(i.param.name, "_", dtype_name(i.param.dtype), "_on_cuda"); });

}  // namespace
}  // namespace trireme
