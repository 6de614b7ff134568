// Training on the GPU against the same training on the CPU: same initial values, same batches, same dropout masks.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "ops/cuda/cudnn_attention.h"
#include "support/gather.h"
#include "support/tiny_models.h"
#include "train/engine.h"

namespace trireme {
namespace {

using testing::GlobalTensors;

constexpr int64_t kBatch = 2, kLength = 13;
constexpr int kMicroBatches = 2, kSteps = 4;
constexpr Device kGpu{DeviceKind::cuda, 0};

class CudaEngine : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  }
  static EngineConfig config(Device device) {
    EngineConfig c;
    c.model = GetParam() ? testing::tiny_gpt2(0.1) : testing::tiny_llama(0.1);
    c.optimizer.clip_grad_norm = 1;
    c.micro_batch_size = kBatch;
    c.sequence_length = kLength;
    c.micro_batches = kMicroBatches;
    c.seed = 3;
    c.device = device;
    return c;
  }
  /// Sequences that go to cuDNN, bits that do not depend on when.
  static EngineConfig cudnn_config() {
    EngineConfig c = config(kGpu);
    c.model = GetParam() ? testing::tiny_gpt2(0) : testing::tiny_llama(0);
    c.model.max_position_embeddings = c.sequence_length = 128;
    c.precision.param_dtype = DType::bf16;
    c.deterministic = true;
    return c;
  }
  struct Run {
    std::vector<double> losses, norms;
    GlobalTensors weights;
    double evaluation = 0;
  };
  static Run train(const EngineConfig& c) {
    SingleGroup single;
    ThreadPool pool(2);
    Engine engine(c, Groups::alone(single), pool);
    engine.set_poison(true);
    engine.initialise();
    Run run;
    for (int s = 0; s < kSteps; ++s) {
      const testing::TokenBatches data(c.model.vocab_size, c.micro_batch_size, kLength, c.micro_batches, 0, 1,
                                       static_cast<uint64_t>(s));
      run.losses.push_back(engine.forward_backward(data.batches, s));
      run.norms.push_back(engine.gradient_norm(data.batches, s));
      engine.update(s, 1e-3);
      run.evaluation = engine.evaluate(data.batches[0]);
    }
    EXPECT_EQ(engine.allocated_bytes(), engine.memory_plan().total());
    const ArenaSizes peaks = engine.arena_peaks(), planned = engine.memory_plan().arenas;
    EXPECT_LE(peaks.total(), planned.total());
    if (c.precision.param_dtype == DType::f32) {
      std::mutex mutex;
      testing::gather(run.weights, mutex, engine, false);
    }
    return run;
  }
  static void expect_alike(const Run& cpu, const Run& gpu, double limit) {
    for (size_t s = 0; s < kSteps; ++s) {
      EXPECT_NEAR(gpu.losses[s], cpu.losses[s], limit * cpu.losses[s]) << "step " << s;
      EXPECT_NEAR(gpu.norms[s], cpu.norms[s], 10 * limit * cpu.norms[s]) << "step " << s;
    }
    EXPECT_NEAR(gpu.evaluation, cpu.evaluation, limit * cpu.evaluation);
  }
};

TEST_P(CudaEngine, TrainsAsTheCpuDoesWithEveryRecompute) {
  for (const Recompute recompute : {Recompute::none, Recompute::cheap, Recompute::block}) {
    EngineConfig on_cpu = config(kCpu), on_gpu = config(kGpu);
    on_cpu.memory.recompute = on_gpu.memory.recompute = recompute;
    const Run cpu = train(on_cpu), gpu = train(on_gpu);
    expect_alike(cpu, gpu, 2e-6);
    for (const auto& [name, values] : cpu.weights) {
      const std::vector<float>& found = gpu.weights.at(name);
      ASSERT_EQ(found.size(), values.size()) << name;
      // A gradient near zero may have either sign, and AdamW's first steps look at little else: then weights differ by
      // up to two learning rates a step. So few elements may, the rest must agree.
      size_t apart = 0;
      for (size_t i = 0; i < values.size(); ++i)
        if (std::abs(found[i] - values[i]) > 1e-5) ++apart;
      EXPECT_LE(apart, values.size() / 100 + 1) << name;
    }
  }
}

TEST_P(CudaEngine, MultipliesIn8BitsAsTheCpuDoes) {
  for (const Recompute recompute : {Recompute::none, Recompute::cheap, Recompute::block}) {
    EngineConfig on_cpu = config(kCpu);
    on_cpu.precision.param_dtype = DType::bf16;
    on_cpu.precision.linear_dtype = LinearDtype::float8;
    on_cpu.micro_batch_size = 16;  // 16 times kLength tokens; kBatch samples would be no multiple of 16
    on_cpu.model.hidden_size = 32;
    on_cpu.model.intermediate_size = 80;
    on_cpu.memory.recompute = recompute;
    EngineConfig on_gpu = on_cpu;
    on_gpu.device = kGpu;
    expect_alike(train(on_cpu), train(on_gpu), 5e-3);
  }
}

TEST_P(CudaEngine, TrainsIn16Bits) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    EngineConfig on_cpu = config(kCpu), on_gpu = config(kGpu);
    on_cpu.precision.param_dtype = on_gpu.precision.param_dtype = dtype;
    expect_alike(train(on_cpu), train(on_gpu), dtype_epsilon(dtype));
  }
}

TEST_P(CudaEngine, TrainsInTf32) {
  EngineConfig on_gpu = config(kGpu);
  const Run exact = train(on_gpu);
  on_gpu.precision.tf32 = true;
  const Run rounded = train(on_gpu);
  expect_alike(train(config(kCpu)), rounded, dtype_epsilon(DType::f16));  // which has as many bits
  EXPECT_NE(rounded.losses, exact.losses);
}

TEST_P(CudaEngine, RepeatsToTheBit) {
  const EngineConfig c = config(kGpu);
  const Run a = train(c), b = train(c);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.norms, b.norms);
  EXPECT_EQ(a.weights, b.weights);
}

/// cuDNN's fast backward adds by atomics.
TEST_P(CudaEngine, ADeterministicStepGivesTheSameBitsAHundredTimes) {
  const EngineConfig c = cudnn_config();
  SingleGroup single;
  ThreadPool pool(2);
  const testing::TokenBatches data(c.model.vocab_size, kBatch, c.sequence_length, kMicroBatches);
  std::optional<GlobalTensors> first;
  for (int process = 0; process < 2; ++process) {
    Engine engine(c, Groups::alone(single), pool);
    engine.initialise();
    for (int repeat = 0; repeat < 50; ++repeat) {
      engine.forward_backward(data.batches, 0);
      GlobalTensors gradients;
      std::mutex mutex;
      testing::gather(gradients, mutex, engine, true);
      if (!first) first = gradients;
      ASSERT_EQ(gradients, *first) << "repeat " << repeat;
    }
  }
}

TEST_P(CudaEngine, BuildsItsAttentionBeforeTheFirstStep) {
  for (const Recompute recompute : {Recompute::none, Recompute::block}) {
    EngineConfig c = cudnn_config();
    c.memory.recompute = recompute;
    SingleGroup single;
    ThreadPool pool(2);
    Engine engine(c, Groups::alone(single), pool);
    engine.initialise();
    const int64_t built = cuda::cudnn_attention_graphs(*engine.ctx().cuda);
    const testing::TokenBatches data(c.model.vocab_size, kBatch, c.sequence_length, kMicroBatches);
    engine.train(data.batches, 0, 1e-3);
    engine.evaluate(data.batches[0]);
    const int64_t needed = cuda::cudnn_attention_graphs(*engine.ctx().cuda);
    if (needed == 0) GTEST_SKIP() << "no cuDNN here";
    EXPECT_EQ(built, needed);
    EXPECT_EQ(needed, 2);  // forward, backward
  }
}

/// Micro-batches that come alike are repeated as graphs; poison keeps an engine from that.
TEST_P(CudaEngine, ARepeatedMicroBatchIsNotTakenForAnotherAtTheSamePlace) {
  const EngineConfig c = cudnn_config();
  SingleGroup single;
  ThreadPool pool(2);
  Engine repeating(c, Groups::alone(single), pool), plain(c, Groups::alone(single), pool);
  plain.set_poison(true);
  for (Engine* engine : {&repeating, &plain}) engine->initialise();
  testing::TokenBatches equal(c.model.vocab_size, kBatch, c.sequence_length, kMicroBatches);
  testing::TokenBatches packed(c.model.vocab_size, kBatch, c.sequence_length, kMicroBatches);
  const std::vector<Segment> documents = {{0, 50, 0, 50, 0, 0}, {50, 78, 50, 78, 50, 50}, {128, 128, 128, 128, 0, 0}};
  for (Batch& batch : packed.batches) batch.segments = documents;
  testing::TokenBatches lighter(c.model.vocab_size, kBatch, c.sequence_length, kMicroBatches);
  for (Batch& batch : lighter.batches) batch.total_weight *= 2;
  int64_t step = 0;
  const std::vector<const testing::TokenBatches*> order = {&equal, &equal, &equal,   &packed, &equal,
                                                           &equal, &equal, &lighter, &packed};
  for (const testing::TokenBatches* data : order) {
    const double loss = repeating.forward_backward(data->batches, 0);
    EXPECT_EQ(loss, plain.forward_backward(data->batches, 0)) << step;
    EXPECT_EQ(repeating.gradient_norm(data->batches, 0), plain.gradient_norm(data->batches, 0)) << step++;
  }
}

TEST_P(CudaEngine, NamesTheFirstBadTensor) {
  const EngineConfig c = config(kGpu);
  SingleGroup single;
  ThreadPool pool(1);
  Engine engine(c, Groups::alone(single), pool);
  engine.initialise();
  const float bad = NAN;
  const Tensor value = engine.params().front().value;
  copy_memory(kGpu, value.data, kCpu, &bad, sizeof bad);
  const testing::TokenBatches data(1, kBatch, kLength, kMicroBatches);  // every token is the damaged row
  try {
    engine.forward_backward(data.batches, 0);
    FAIL() << "nothing was thrown";
  } catch (const NumericError& e) {
    EXPECT_NE(std::string(e.what()).find("embedding_forward"), std::string::npos) << e.what();
  }
}

TEST_P(CudaEngine, AModelThatDoesNotFitIsRefusedWithTheNumbers) {
  EngineConfig c = config(kGpu);
  c.model = ModelConfig::from_json(model_preset(GetParam() ? "ti-100b" : "llama3-8b"));
  c.micro_batch_size = 256;
  c.sequence_length = 2048;
  SingleGroup single;
  ThreadPool pool(1);
  try {
    Engine engine(c, Groups::alone(single), pool);
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find(" GiB free of "), std::string::npos) << e.what();
    const bool can_fit = !GetParam() && cuda_memory(0).free > int64_t{80} << 30;
    const char* advice = can_fit ? "What fits and costs least: " : "use a smaller model";
    EXPECT_NE(std::string(e.what()).find(advice), std::string::npos) << e.what();
  }
}

TEST(CudaMemory, AGpuWithoutFreeMemoryIsRefusedAndNamed) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  const Buffer others("what others hold", kGpu, cuda_memory(0).free - (int64_t{300} << 20));
  for (const std::string part : {"GPU 0 (", " MiB free of ", "nvidia-smi"}) {
    try {
      make_cuda_context(kGpu);
      FAIL() << "it can be used";
    } catch (const DeviceError& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  }
  try {
    const Buffer more("more", kGpu, int64_t{1} << 30);
    FAIL() << "it was given";
  } catch (const DeviceError& e) {
    EXPECT_NE(std::string(e.what()).find("GPU 0 cannot give 1024 MiB"), std::string::npos) << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(, CudaEngine, ::testing::Bool(),
                         [](const auto& gpt) { return std::string(gpt.param ? "gpt2" : "llama"); });

}  // namespace
}  // namespace trireme
