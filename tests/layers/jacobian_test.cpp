// Every layer's backward against central differences of its forward, for inputs and parameters, on tiny shapes.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/random.h"
#include "layers/attention.h"
#include "layers/embedding.h"
#include "layers/head.h"
#include "layers/mlp.h"
#include "models/block.h"
#include "ops/basic.h"
#include "params/grad_store.h"
#include "params/init.h"

namespace trireme {
namespace {

constexpr int64_t kTokens = 11, kHidden = 12, kVocab = 17;

/// f32 sums of some hundred terms near 1 are good to about 1e-5; over 2h = 0.02 that is 5e-4, the h^2 term is of the
/// same size. The bound is relative to the largest gradient of the tensor.
constexpr double kStep = 1e-2, kTolerance = 5e-3;

class Jacobian : public ::testing::Test {
 protected:
  Jacobian() {
    for (int64_t i = 0; i < kTokens; ++i) {
      ids_.push_back(static_cast<int32_t>((i * 7 + 3) % kVocab));
      targets_.push_back(static_cast<int32_t>((i * 5 + 1) % kVocab));
      positions_.push_back(static_cast<int32_t>(i < 6 ? i : i - 6));
      weights_.push_back(i == 4 ? 0.0F : 1.0F);
      samples_.push_back(i < 6 ? 0 : 1);
    }
    const Shape n{kTokens};
    batch_.tokens = {ids_.data(), DType::i32, kCpu, n};
    batch_.targets = {targets_.data(), DType::i32, kCpu, n};
    batch_.positions = {positions_.data(), DType::i32, kCpu, n};
    batch_.weights = {weights_.data(), DType::f32, kCpu, n};
    batch_.sample_ids = {samples_.data(), DType::i64, kCpu, n};
    batch_.segments = segments_;
    batch_.total_weight = 10;
    ctx_.pool = &pool_;
    ctx_.keep = &keep_;
    ctx_.temp = &temp_;
    ctx_.seed = 3;
    ctx_.train = true;
  }

  /// Binds what the layer declared: values from their initialisers (norm weights and biases made uneven), gradients
  /// zero.
  void bind() {
    layout_.emplace(table_, 1, std::vector<UnitRange>{{0, 1}}, single_, 0);
    params_.emplace(table_, *layout_, DType::f32, kCpu, single_);
    grads_.emplace(table_, *layout_, kCpu, groups_);
    params_->assign([&](Param& p) {
      p.spec.init_std = 0.4F;
      init_param(p, 1, pool_);
      if (p.spec.init == Init::normal) return;
      for (int64_t i = 0; i < p.value.numel(); ++i)
        p.value.f32()[i] += 0.2F * normal_float({name_hash(p.spec.name)}, static_cast<uint64_t>(i));
    });
  }

  Tensor random(const Shape& shape, uint64_t seed) {
    buffers_.emplace_back("random", kCpu, shape.numel() * 4);
    const Tensor t = buffers_.back().view(DType::f32, shape);
    for (int64_t i = 0; i < t.numel(); ++i) t.f32()[i] = normal_float({seed}, static_cast<uint64_t>(i));
    return t;
  }

  /// `loss` computes a scalar from the bound values; `gradients` fills dx of `inputs` (same order) and the parameters'.
  void expect_gradients(const std::function<double()>& loss, const std::vector<Tensor>& inputs,
                        const std::vector<Tensor>& input_gradients) {
    for (size_t i = 0; i < inputs.size(); ++i) expect_tensor(cat("input ", i), loss, inputs[i], input_gradients[i]);
    for (Param& p : table_)
      if (p.spec.tied_to.empty()) expect_tensor(p.spec.name, loss, p.value, p.grad);
  }

  void expect_tensor(const std::string& name, const std::function<double()>& loss, const Tensor& values,
                     const Tensor& gradient) {
    double largest = 0;
    for (int64_t i = 0; i < gradient.numel(); ++i)
      largest = std::max(largest, std::abs(static_cast<double>(gradient.f32()[i])));
    EXPECT_GT(largest, 0) << name;
    const int64_t stride = std::max<int64_t>(1, values.numel() / 37);
    for (int64_t i = 0; i < values.numel(); i += stride) {
      float& x = values.f32()[i];
      const float before = x;
      x = before + static_cast<float>(kStep);
      const double up = loss();
      x = before - static_cast<float>(kStep);
      const double down = loss();
      x = before;
      EXPECT_NEAR((up - down) / (2 * kStep), gradient.f32()[i], kTolerance * largest) << name << "[" << i << "]";
    }
  }

  static double dot(const Tensor& a, const Tensor& b) {
    double sum = 0;
    for (int64_t i = 0; i < a.numel(); ++i) sum += static_cast<double>(a.f32()[i]) * b.f32()[i];
    return sum;
  }

  std::vector<int32_t> ids_, targets_, positions_;
  std::vector<float> weights_;
  std::vector<int64_t> samples_;
  std::vector<Segment> segments_{{0, 6, 0, 6, 0, 0}, {6, 5, 6, 5, 0, 0}};
  Batch batch_;
  ThreadPool pool_{1};
  Arena keep_{"keep", kCpu, 1 << 22}, temp_{"temp", kCpu, 1 << 24};
  Ctx ctx_;
  SingleGroup single_;
  Groups groups_ = Groups::alone(single_);
  ParamTable table_;
  ParamBuilder builder_{table_};
  std::optional<ModelLayout> layout_;
  std::optional<ParamStore> params_;
  std::optional<GradStore> grads_;
  std::vector<Buffer> buffers_;
};

TEST_F(Jacobian, Linear) {
  const Linear layer(builder_, "w", {.in = kHidden, .out = 7, .bias = true}, single_);
  bind();
  const Tensor x = random({kTokens, kHidden}, 1), y = random({kTokens, 7}, 2), r = random({kTokens, 7}, 3),
               dx = random({kTokens, kHidden}, 4);
  layer.forward(ctx_, y, x);
  layer.backward(ctx_, dx, r, x);
  expect_gradients([&] { return layer.forward(ctx_, y, x), dot(y, r); }, {x}, {dx});
}

void norm_case(Ctx& ctx, const Norm& norm, const Tensor& y, const Tensor& x, const Tensor& residual,
               const Tensor& delta) {
  const ArenaScope scope(*ctx.keep);
  Norm::Saved saved;
  norm.forward(ctx, y, x, residual, delta, saved);
}

TEST_F(Jacobian, NormsOfBothKindsWithTheirResidual) {
  for (const NormKind kind : {NormKind::rms_norm, NormKind::layer_norm}) {
    table_.clear();
    const Norm norm(builder_, "n", kind, kHidden, 1e-5F);
    bind();
    const Shape shape{kTokens, kHidden};
    const Tensor residual = random(shape, 1), delta = random(shape, 2), x = random(shape, 3), y = random(shape, 4),
                 r = random(shape, 5), dx = random(shape, 6);
    Norm::Saved saved;
    norm.forward(ctx_, y, x, residual, delta, saved);
    norm.backward(ctx_, dx, r, x, saved, false);
    expect_gradients([&] { return norm_case(ctx_, norm, y, x, residual, delta), dot(y, r); }, {residual, delta},
                     {dx, dx});
    keep_.release(0);
  }
}

TEST_F(Jacobian, MlpOfBothKindsWithAndWithoutRecompute) {
  for (const MlpKind kind : {MlpKind::gelu, MlpKind::swiglu})
    for (const bool recompute : {false, true}) {
      table_.clear();
      const Mlp mlp(
          builder_,
          {.kind = kind, .hidden = kHidden, .intermediate = 10, .bias = true, .recompute_activation = recompute},
          single_);
      bind();
      const Shape shape{kTokens, kHidden};
      const Tensor x = random(shape, 1), y = random(shape, 2), r = random(shape, 3), dx = random(shape, 4);
      Mlp::Saved saved;
      mlp.forward(ctx_, y, x, saved);
      mlp.backward(ctx_, dx, r, x, saved);
      expect_gradients(
          [&] {
            const ArenaScope scope(keep_);
            Mlp::Saved again;
            mlp.forward(ctx_, y, x, again);
            return dot(y, r);
          },
          {x}, {dx});
      keep_.release(0);
    }
}

TEST_F(Jacobian, AttentionWithGroupedHeadsRopeNormsWindowAndDropout) {
  for (const bool norms : {false, true})
    for (const int64_t window : {0, 3}) {
      table_.clear();
      const Tensor table = random({8, 4}, 9);
      for (int64_t p = 0; p < 8; ++p)
        for (int64_t i = 0; i < 2; ++i) {
          const double angle = static_cast<double>(p) / (i == 0 ? 1.0 : 10.0);
          table.f32()[p * 4 + i] = static_cast<float>(std::cos(angle));
          table.f32()[p * 4 + 2 + i] = static_cast<float>(std::sin(angle));
        }
      const SelfAttention attention(builder_,
                                    {.hidden = kHidden,
                                     .heads = 4,
                                     .kv_heads = 2,
                                     .head_dim = 4,
                                     .qkv_bias = true,
                                     .out_bias = true,
                                     .qk_norm = norms,
                                     .window = window,
                                     .dropout = window > 0 ? 0.3F : 0.0F,
                                     .site = 5,
                                     .rope_table = table},
                                    single_);
      bind();
      const Shape shape{kTokens, kHidden};
      const Tensor x = random(shape, 1), y = random(shape, 2), r = random(shape, 3), dx = random(shape, 4);
      SelfAttention::Saved saved;
      attention.forward(ctx_, y, x, batch_, saved);
      attention.backward(ctx_, dx, r, x, batch_, saved);
      expect_gradients(
          [&] {
            const ArenaScope scope(keep_);
            SelfAttention::Saved again;
            attention.forward(ctx_, y, x, batch_, again);
            return dot(y, r);
          },
          {x}, {dx});
      keep_.release(0);
    }
}

TEST_F(Jacobian, EmbeddingWithPositionsAndDropout) {
  const Embedding embedding(builder_, {.vocab = kVocab, .hidden = kHidden, .positions = 8, .dropout = 0.2F, .site = 1},
                            single_);
  bind();
  const Shape shape{kTokens, kHidden};
  const Tensor y = random(shape, 1), r = random(shape, 2), dy = random(shape, 2);
  embedding.backward(ctx_, dy, batch_);
  expect_gradients([&] { return embedding.forward(ctx_, y, batch_), dot(y, r); }, {}, {});
}

TEST_F(Jacobian, HeadAndLossWithWeightedTargets) {
  const Head head(builder_, {.vocab = kVocab, .hidden = kHidden}, single_);
  bind();
  const Tensor x = random({kTokens, kHidden}, 1), dx = random({kTokens, kHidden}, 2);
  const auto loss = [&](const Tensor& gradient) {
    double sum = 0;
    head.loss(ctx_, Tensor(&sum, DType::f64, kCpu, {1}), gradient, x, batch_);
    return sum / batch_.total_weight;
  };
  loss(dx);
  expect_gradients([&] { return loss({}); }, {x}, {dx});
}

class BlockJacobian : public Jacobian, public ::testing::WithParamInterface<float> {};
INSTANTIATE_TEST_SUITE_P(Dropout, BlockJacobian, ::testing::Values(0.0F, 0.25F));

/// Without dropout the second norm's backward sums the gradients of both output biases.
TEST_P(BlockJacobian, OfTheBlock) {
  BlockConfig config;
  config.attention = {.hidden = kHidden, .heads = 3, .kv_heads = 3, .head_dim = 4, .qkv_bias = true, .out_bias = true};
  config.mlp = {.hidden = kHidden, .intermediate = 20, .bias = true};
  config.norm = NormKind::layer_norm;
  config.dropout = GetParam();
  config.attention_site = 2;
  config.mlp_site = 3;
  Block block(builder_, config, single_);
  block.set_slots(1);
  bind();
  const Shape shape{kTokens, kHidden};
  const Tensor residual = random(shape, 1), delta = random(shape, 2), x = random(shape, 3), out_r = random(shape, 4),
               out_d = random(shape, 5), r = random(shape, 6);
  const Tensor g = random(shape, 6);
  block.forward(ctx_, batch_, 0, {residual, delta}, x, {out_r, out_d});
  block.backward(ctx_, batch_, 0, g);
  expect_gradients(
      [&] {
        const ArenaScope scope(keep_);
        block.forward(ctx_, batch_, 0, {residual, delta}, x, {out_r, out_d});
        return dot(out_r, r) + dot(out_d, r);
      },
      {residual, delta}, {g, g});
}

TEST_F(Jacobian, ABlockMayWriteTheSumOfItsStreamWithTheSameBits) {
  BlockConfig config;
  config.attention = {.hidden = kHidden, .heads = 3, .kv_heads = 3, .head_dim = 4};
  config.mlp = {.kind = MlpKind::swiglu, .hidden = kHidden, .intermediate = 20};
  Block block(builder_, config, single_);
  block.set_slots(2);
  bind();
  const Shape shape{kTokens, kHidden};
  const Tensor in = random(shape, 1), mid = random(shape, 2), sum = random(shape, 3), residual = random(shape, 4),
               delta = random(shape, 5), both = random(shape, 6), g = random(shape, 7), other_g = random(shape, 7);
  block.forward(ctx_, batch_, 0, {in, {}}, {}, {mid, sum, true});
  block.forward(ctx_, batch_, 1, {in, {}}, {}, {residual, delta});
  add(ctx_, both, residual, delta);
  block.backward(ctx_, batch_, 0, g);
  block.backward(ctx_, batch_, 1, other_g);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    ASSERT_EQ(mid.f32()[i], residual.f32()[i]);
    ASSERT_EQ(sum.f32()[i], both.f32()[i]);
    ASSERT_EQ(g.f32()[i], other_g.f32()[i]);
  }
}

}  // namespace
}  // namespace trireme
