// Tiny GPT-2, Llama, Qwen2 and Qwen3 models against PyTorch's float64 run of Hugging Face's own classes: logits, every
// gradient, ten losses and gradient norms of ten AdamW steps, and the same with three unequal micro-batches a step. On
// the CPU, and on a GPU where there is one.
#include "golden/golden.h"

#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/model_io.h"
#include "device/cuda.h"
#include "models/names.h"
#include "support/gather.h"

namespace trireme {
namespace {

using testing::Golden;
using testing::GoldenArray;
using testing::GoldenStep;

/// ||found - expected|| / ||expected||.
double relative_error(const std::vector<float>& found, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(found[i]) - expected[i], 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / norm);
}

/// Relative error of independent roundings: each of `depth` operations in a row, of at most n terms, adds the root of n
/// half units in the last place; independent ones add as squares.
double bound(double depth, const ModelConfig& c, int64_t tokens) {
  const int64_t n = std::max({c.vocab_size, c.hidden_size, c.intermediate_size, tokens});
  return dtype_epsilon(DType::f32) / 2 * std::sqrt(depth * static_cast<double>(n));
}
/// Operations in a row. Of a block: norm, qkv, (norm of q and k), (rotation), scores, softmax, values, out, add, norm,
/// up, activation, down, add; then norm and head.
double forward_depth(const ModelConfig& c) {
  const int block = 12 + (c.qk_norm ? 1 : 0) + (c.is_gpt2() ? 0 : 1);
  return block * static_cast<double>(c.num_hidden_layers) + 2;
}
/// Forward, then backward through each; softmax and the two norms sum over a row once more. Then the sum over tokens.
double backward_depth(const ModelConfig& c) {
  return 2 * forward_depth(c) + 3 * static_cast<double>(c.num_hidden_layers) + 2;
}

void load(const Golden& golden, const ParamTable& params) {
  read_model_weights(golden.config, params, [&](const std::string& name) { return golden.weights.find(name); });
}

/// One rank's engine with the golden's weights, and the steps of one of its runs.
class GoldenRun {
 public:
  GoldenRun(const Golden& golden, const std::string& prefix) : tokens_(golden.tokens(prefix + "tokens")) {
    Shape shape = golden.shape(prefix + "tokens");  // (steps, B, T+1) or (steps, micro-batches, B, T+1)
    micro_batches_ = shape.rank == 4 ? static_cast<int>(shape[1]) : 1;
    if (micro_batches_ > 1) weights_ = golden.array(prefix + "weights").values;
    num_steps = shape[0];
    batch_ = shape[shape.rank - 2];
    length_ = shape[shape.rank - 1] - 1;
    engine_config.model = golden.config;
    const Json& o = golden.facts.at("optimizer");
    engine_config.optimizer = {.lr = o.at("lr").as_real(),
                               .betas = {o.at("beta1").as_real(), o.at("beta2").as_real()},
                               .eps = o.at("eps").as_real(),
                               .weight_decay = o.at("weight_decay").as_real(),
                               .clip_grad_norm = o.at("clip").as_real()};
    engine_config.micro_batch_size = batch_;
    engine_config.sequence_length = length_;
    engine_config.micro_batches = micro_batches_;
  }

  GoldenStep step(int64_t s) const {
    const size_t tokens = static_cast<size_t>(micro_batches_ * batch_ * (length_ + 1));
    const size_t targets = weights_.empty() ? 0 : static_cast<size_t>(micro_batches_ * batch_ * length_);
    const size_t i = static_cast<size_t>(s);
    return {std::span(tokens_).subspan(i * tokens, tokens), std::span(weights_).subspan(i * targets, targets),
            micro_batches_, batch_, length_};
  }
  int64_t num_tokens() const { return micro_batches_ * batch_ * length_; }

  EngineConfig engine_config;
  int64_t num_steps = 0;

 private:
  std::vector<int32_t> tokens_;
  std::vector<float> weights_;
  int micro_batches_ = 1;
  int64_t batch_ = 0, length_ = 0;
};

/// Calls fn(engine) on one rank with the golden's weights loaded.
template <class F>
void with_engine(const Golden& golden, const EngineConfig& config, F fn) {
  SingleGroup one;
  ThreadPool pool(2);
  Engine engine(config, Groups::alone(one), pool);
  load(golden, engine.params());
  engine.weights_changed();
  fn(engine);
}

/// What lies on disk as `disk`, out of the whole global parameter.
std::vector<float> as_on_disk(const DiskTensor& disk, const std::vector<float>& whole) {
  const bool matrix = disk.shape.rank == 2;
  const int64_t rows = disk.transposed ? disk.shape[1] : disk.shape[0];
  const int64_t cols = !matrix ? 1 : disk.transposed ? disk.shape[0] : disk.shape[1];
  std::vector<float> out(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c)
      out[static_cast<size_t>(disk.transposed ? c * rows + r : r * cols + c)] =
          whole[static_cast<size_t>((disk.row_begin + r) * cols + c)];
  return out;
}

class GoldenModel : public ::testing::TestWithParam<std::tuple<const char*, DeviceKind>> {
 protected:
  void SetUp() override {
    if (device_.kind == DeviceKind::cuda && cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  }
  GoldenRun run_of(const std::string& prefix) const {
    GoldenRun run(golden_, prefix);
    run.engine_config.device = device_;
    return run;
  }
  Device device_{std::get<1>(GetParam()), 0};
  Golden golden_{cat(TRIREME_SOURCE_DIR, "/tests/golden/", std::get<0>(GetParam()), "/")};

  void expect_gradients(const GoldenRun& run, double limit) {
    with_engine(golden_, run.engine_config, [&](Engine& engine) {
      const GoldenStep step = run.step(0);
      engine.forward_backward(step.batches, 0);
      std::mutex mutex;
      testing::GlobalTensors gradients;
      testing::gather(gradients, mutex, engine, true);
      for (const DiskTensor& disk : disk_tensors(golden_.config, engine.params())) {
        const GoldenArray expected = golden_.array("grad." + disk.name);
        ASSERT_EQ(expected.shape, disk.shape) << disk.name;
        std::vector<float> found = as_on_disk(disk, gradients.at(disk.param->spec.name));
        for (float& value : found) value /= static_cast<float>(engine.loss_scaler().scale());  // a power of two
        EXPECT_LE(relative_error(found, expected.values), limit) << disk.name;
      }
    });
  }

  void expect_run_equals(const std::string& name, const std::string& prefix) {
    const GoldenRun run = run_of(prefix);
    const std::vector<double> losses = golden_.list(name, "loss"), norms = golden_.list(name, "grad_norm");
    ASSERT_EQ(static_cast<int64_t>(losses.size()), run.num_steps);
    const double limit = bound(backward_depth(golden_.config), golden_.config, run.num_tokens());
    with_engine(golden_, run.engine_config, [&](Engine& engine) {
      for (int64_t s = 0; s < run.num_steps; ++s) {
        const size_t i = static_cast<size_t>(s);
        const GoldenStep step = run.step(s);
        const double loss = engine.forward_backward(step.batches, s);
        const double norm = engine.gradient_norm(step.batches, s);
        engine.update(s, run.engine_config.optimizer.lr);
        EXPECT_NEAR(loss, losses[i], limit * losses[i]) << "step " << s + 1;
        EXPECT_NEAR(norm, norms[i], limit * norms[i]) << "step " << s + 1;
      }
    });
  }
};

TEST_P(GoldenModel, LogitsEqualThoseOfPyTorch) {
  const GoldenRun run = run_of("");
  const GoldenArray expected = golden_.array("logits");
  SingleGroup one;
  const CudaContextPtr cuda = make_cuda_context(device_);
  Model model = build_model(golden_.config, one, {.device = device_});
  const ModelLayout layout(model.params, model.num_units(), {{0, model.num_units()}}, one, 0);
  const ParamStore store(model.params, layout, DType::f32, device_, one);
  load(golden_, model.params);

  constexpr int64_t kArenaBytes = 128 << 20;
  Arena keep("keep", device_, kArenaBytes), temp("temp", device_, kArenaBytes);
  ThreadPool pool(2);
  Ctx ctx;
  ctx.device = device_;
  ctx.backend = device_.kind;
  ctx.cuda = cuda.get();
  ctx.pool = &pool;
  ctx.keep = &keep;
  ctx.temp = &temp;
  const GoldenStep step = run.step(0);
  DeviceBatches there(device_, 1, run.num_tokens());
  const Batch& batch = there.upload({step.batches.data(), 1})[0];
  const Shape shape{batch.num_tokens(), model.hidden_size};
  Stream stream;
  for (size_t u = 0; u < model.units.size(); ++u) {
    model.units[u]->set_slots(1);
    const Tensor x = stream.delta.defined() ? keep.take(DType::f32, shape) : Tensor();
    const Stream out{keep.take(DType::f32, shape), u == 0 ? Tensor() : keep.take(DType::f32, shape)};
    model.units[u]->forward(ctx, batch, 0, stream, x, out);
    stream = out;
  }
  std::vector<float> logits(expected.values.size());
  const Tensor out = keep.take(DType::f32, {batch.num_tokens(), model.vocab_size});
  model.head->logits(ctx, out, stream);
  copy_memory(kCpu, logits.data(), device_, out.data, out.bytes());
  EXPECT_LE(relative_error(logits, expected.values), bound(forward_depth(golden_.config), golden_.config, 0));
}

TEST_P(GoldenModel, EveryGradientEqualsThatOfPyTorch) {
  const GoldenRun run = run_of("");
  expect_gradients(run, bound(backward_depth(golden_.config), golden_.config, run.num_tokens()));
}

/// Sums stay in float32, but each operation rounds a weight and an activation to storage.
TEST_P(GoldenModel, GradientsIn16BitStorageStayWithinItsRoundings) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    SCOPED_TRACE(dtype_name(dtype));
    GoldenRun run = run_of("");
    run.engine_config.precision.param_dtype = dtype;
    run.engine_config.precision.scaling.loss_scale = 1024;  // else some fall below float16's smallest normal number
    expect_gradients(run, dtype_epsilon(dtype) / 2 * std::sqrt(2 * backward_depth(golden_.config)));
  }
}

TEST_P(GoldenModel, TenStepsHavePyTorchsLossesAndGradientNorms) { expect_run_equals("plain", ""); }

TEST_P(GoldenModel, UnequalMicroBatchesHavePyTorchsLossesAndGradientNorms) { expect_run_equals("accum", "accum."); }

TEST_P(GoldenModel, PyTorchInFloat32KeepsTheSameBounds) {
  const Json& error = golden_.facts.at("f32_error");
  const ModelConfig& c = golden_.config;
  EXPECT_LE(error.at("logits").as_real(), bound(forward_depth(c), c, 0));
  for (const char* what : {"worst_grad", "plain_loss", "plain_grad_norm", "accum_loss", "accum_grad_norm"})
    EXPECT_LE(error.at(what).as_real(), bound(backward_depth(c), c, 0)) << what;
}

INSTANTIATE_TEST_SUITE_P(, GoldenModel,
                         ::testing::Combine(::testing::Values("gpt2_tied", "gpt2_untied", "llama", "qwen2", "qwen3"),
                                            ::testing::Values(DeviceKind::cpu, DeviceKind::cuda)),
                         [](const auto& model) {
                           return cat(std::get<0>(model.param), "_on_", device_name(std::get<1>(model.param)));
                         });

}  // namespace
}  // namespace trireme
