// Decoding with a cache gives what the whole sequence run anew gives, token for token.
#include "infer/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "comm/local.h"
#include "infer/model_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_models.h"

namespace trireme {
namespace {

ModelConfig long_gpt2() {
  ModelConfig c = testing::tiny_gpt2();
  c.max_position_embeddings = 700;
  c.initializer_range = 0.3;
  return c;
}
ModelConfig long_qwen3(int64_t window = 0) {
  ModelConfig c = testing::tiny_llama();
  c.max_position_embeddings = 700;
  c.sliding_window = window;
  c.initializer_range = 0.3;
  return c;
}

/// A model in a folder, and the same one run plainly.
struct Subject {
  explicit Subject(const ModelConfig& c, Device where = kCpu)
      : config(c), device(where), plain(c, 17), folder(testing::write_model(dir.path(), c, plain)) {}
  struct Loaded : Decoder {
    Loaded(const DecoderConfig& c, ThreadPool& threads, const std::string& from) : Decoder(c, threads) {
      load(WeightFiles(from));
    }
  };
  Loaded decoder(int sequences, int64_t capacity, DType dtype = DType::f32) {
    return {{.model = config, .param_dtype = dtype, .sequences = sequences, .capacity = capacity, .device = device},
            pool,
            folder};
  }
  std::vector<int32_t> prompt(int64_t length, uint64_t seed = 1) const {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < length; ++i)
      ids.push_back(static_cast<int32_t>(RandomKey::of(seed, 2).draw(0, static_cast<uint64_t>(i))[0] %
                                         static_cast<uint32_t>(config.vocab_size)));
    return ids;
  }
  std::vector<float> last_logits(const std::vector<int32_t>& ids) {
    const std::vector<float> all = plain.logits(ids);
    return {all.end() - config.vocab_size, all.end()};
  }

  ModelConfig config;
  Device device;
  testing::TempDir dir;
  ThreadPool pool{2};
  testing::PlainModel plain;
  std::string folder;
};

int32_t best(const float* row, int64_t n) { return static_cast<int32_t>(std::max_element(row, row + n) - row); }

/// Largest difference over the norm of the row.
double distance(const float* found, const std::vector<float>& expected) {
  double worst = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[i]));
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return worst / std::sqrt(norm);
}
// Other orders of the same f32 sums, through three layers of a dozen operations with at most 700 terms.
constexpr double kBound = 0x1p-24 * 36 * 27;

struct Case {
  ModelConfig model;
  DeviceKind device;
};

class Decoding : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (GetParam().device == DeviceKind::cuda && cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DeviceKind device : {DeviceKind::cpu, DeviceKind::cuda})
    for (const ModelConfig& model : {long_gpt2(), long_qwen3(), long_qwen3(6)}) all.push_back({model, device});
  return all;
}

TEST_P(Decoding, FortyGreedyTokensEqualThoseWithoutACache) {
  Subject s(GetParam().model, {GetParam().device, 0});
  std::vector<int32_t> ids = s.prompt(5);
  auto decoder = s.decoder(1, 45);
  Tensor logits = decoder.prefill(0, ids);
  for (int i = 0; i < 40; ++i) {
    const std::vector<float> expected = s.last_logits(ids);
    ASSERT_LE(distance(logits.f32(), expected), kBound) << "token " << i;
    const int32_t next = best(expected.data(), s.config.vocab_size);
    ASSERT_EQ(best(logits.f32(), s.config.vocab_size), next) << "token " << i;
    ids.push_back(next);
    EXPECT_EQ(decoder.length(0), 5 + i);
    const int slot = 0;
    logits = decoder.step({&slot, 1}, {&next, 1});
  }
}

TEST_P(Decoding, TheLikeliestTokensAreThoseOfTheLogits) {
  Subject s(GetParam().model, {GetParam().device, 0});
  const int64_t choices = s.config.vocab_size - 7;
  for (const int n : {1, 3}) {
    Decoder plain({.model = s.config, .sequences = n, .capacity = 40, .device = s.device}, s.pool);
    Decoder choosing({.model = s.config, .sequences = n, .capacity = 40, .choices = choices, .device = s.device},
                     s.pool);
    std::vector<int> slots;
    std::vector<int32_t> tokens;
    for (Decoder* decoder : {&plain, &choosing}) {
      decoder->load(WeightFiles(s.folder));
      slots.clear(), tokens.clear();
      for (int i = 0; i < n; ++i) {
        slots.push_back(i);
        tokens.push_back(best(decoder->prefill(i, s.prompt(4 + i, static_cast<uint64_t>(i))).f32(), choices));
      }
    }
    for (int step = 0; step < 12; ++step) {
      const Tensor logits = plain.step(slots, tokens);
      const std::span<const int32_t> ids = choosing.step_likeliest(slots, tokens);
      for (int i = 0; i < n; ++i) tokens[static_cast<size_t>(i)] = best(logits.f32() + i * logits.size(1), choices);
      ASSERT_TRUE(std::equal(ids.begin(), ids.end(), tokens.begin(), tokens.end())) << "step " << step;
    }
  }
}

TEST_P(Decoding, APromptLongerThanAPassEqualsThatWithoutACache) {
  Subject s(GetParam().model, {GetParam().device, 0});
  for (const int64_t length : {255, 256, 257, 600}) {
    const std::vector<int32_t> ids = s.prompt(length);
    auto decoder = s.decoder(1, 610);
    EXPECT_LE(distance(decoder.prefill(0, ids).f32(), s.last_logits(ids)), kBound) << length;
  }
}

/// What a rank of a layout says to a prompt in two passes and to five tokens after it, all rows one after the other.
std::vector<float> rows_of_rank(Subject& s, const Groups& groups, const std::vector<int32_t>& ids) {
  ThreadPool pool(1);
  Decoder decoder({.model = s.config, .sequences = 2, .capacity = 300}, pool, &groups);
  decoder.load(WeightFiles(s.folder));
  std::vector<float> rows;
  const auto keep = [&](const Tensor& logits) {
    rows.insert(rows.end(), logits.f32(), logits.f32() + logits.numel());
    return logits;
  };
  Tensor logits = keep(decoder.prefill(1, std::span(ids).first(260)));
  for (int i = 0; i < 5; ++i) {
    const int32_t next = best(logits.f32(), s.config.vocab_size);
    const int slot = 1;
    logits = keep(decoder.step({&slot, 1}, {&next, 1}));
  }
  return rows;
}

TEST_P(Decoding, TensorAndPipelineRanksSayWhatOneProcessSays) {
  if (GetParam().device != DeviceKind::cpu) GTEST_SKIP() << "several ranks run on the CPU";
  Subject s(GetParam().model);
  const std::vector<int32_t> ids = s.prompt(260);
  SingleGroup single;
  const std::vector<float> expected = rows_of_rank(s, Groups::alone(single), ids);
  for (const Mesh& mesh :
       {Mesh{.tp = 2}, Mesh{.pp = 2}, Mesh{.pp = 4}, Mesh{.pp = 2, .tp = 2}, Mesh{.tp = 4}, Mesh{.pp = 7}}) {
    std::vector<std::vector<float>> found(static_cast<size_t>(mesh.world_size()));
    run_local_ranks(
        mesh, [&](int rank, const Groups& groups) { found[static_cast<size_t>(rank)] = rows_of_rank(s, groups, ids); });
    EXPECT_LE(distance(found[0].data(), expected), mesh.tp == 1 ? 0 : kBound) << mesh.pp << " x " << mesh.tp;
    for (const std::vector<float>& rows : found) EXPECT_EQ(rows, found[0]);
  }
}

TEST_P(Decoding, APromptMayComeInParts) {
  Subject s(GetParam().model, {GetParam().device, 0});
  const std::vector<int32_t> ids = s.prompt(30);
  auto decoder = s.decoder(2, 40);
  decoder.prefill(1, std::span(ids).first(7));
  decoder.prefill(1, std::span(ids).subspan(7, 1));
  EXPECT_LE(distance(decoder.prefill(1, std::span(ids).subspan(8)).f32(), s.last_logits(ids)), kBound);
}

TEST_P(Decoding, SequencesSideBySideEqualEachAlone) {
  Subject s(GetParam().model, {GetParam().device, 0});
  constexpr int kSequences = 11;  // more rows than the products for few rows take
  auto together = s.decoder(kSequences, 60);
  std::vector<std::vector<int32_t>> ids;
  for (int i = 0; i < kSequences; ++i) {
    ids.push_back(s.prompt(1 + 3 * i, static_cast<uint64_t>(i)));
    const Tensor logits = together.prefill(i, ids.back());
    ids.back().push_back(best(logits.f32(), s.config.vocab_size));
  }
  for (int step = 0; step < 12; ++step) {
    // Some drop out, as finished ones do; the order of the others changes.
    std::vector<int> slots;
    std::vector<int32_t> tokens;
    for (int i = kSequences - 1; i >= 0; --i)
      if (step < 4 || i % 3 != 0) slots.push_back(i);
    for (const int i : slots) tokens.push_back(ids[static_cast<size_t>(i)].back());
    const Tensor logits = together.step(slots, tokens);
    for (size_t k = 0; k < slots.size(); ++k)
      ids[static_cast<size_t>(slots[k])].push_back(
          best(logits.f32() + static_cast<int64_t>(k) * s.config.vocab_size, s.config.vocab_size));
  }
  for (int i = 0; i < kSequences; ++i) {
    std::vector<int32_t> alone = s.prompt(1 + 3 * i, static_cast<uint64_t>(i));
    auto decoder = s.decoder(1, 60);
    Tensor logits = decoder.prefill(0, alone);
    const std::vector<int32_t>& expected = ids[static_cast<size_t>(i)];
    while (alone.size() < expected.size()) {
      alone.push_back(best(logits.f32(), s.config.vocab_size));
      const int slot = 0;
      logits = decoder.step({&slot, 1}, {&alone.back(), 1});
    }
    EXPECT_EQ(alone, expected) << "sequence " << i;
  }
}

TEST_P(Decoding, AResetSlotForgets) {
  Subject s(GetParam().model, {GetParam().device, 0});
  auto decoder = s.decoder(2, 50);
  decoder.prefill(0, s.prompt(50, 1));
  decoder.reset(0);
  EXPECT_EQ(decoder.length(0), 0);
  const std::vector<int32_t> ids = s.prompt(9, 2);
  EXPECT_LE(distance(decoder.prefill(0, ids).f32(), s.last_logits(ids)), kBound);
}

TEST_P(Decoding, EveryLengthFitsThePlanInEveryPrecision) {
  Subject s(GetParam().model, {GetParam().device, 0});
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    auto decoder = s.decoder(3, 300, dtype);
    for (const int64_t length : {1, 2, 8, 9, 31, 33, 64, 100, 129, 200, 255, 256, 300}) {
      decoder.reset(2);
      const std::vector<int32_t> ids = s.prompt(length);
      const double found = distance(decoder.prefill(2, ids).f32(), s.last_logits(ids));
      EXPECT_LE(found, dtype == DType::f32 ? kBound : 6 * dtype_epsilon(dtype)) << dtype_name(dtype) << " " << length;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Decoder, Decoding, ::testing::ValuesIn(cases()), [](const auto& i) {
  const ModelConfig& model = i.param.model;
  return cat(model.model_type, model.sliding_window > 0 ? "Window" : "", "_on_", device_name(i.param.device));
});

TEST(Decoder, AWindowIsSeen) {
  Subject whole(long_qwen3()), windowed(long_qwen3(6));
  const std::vector<int32_t> ids = whole.prompt(30);
  auto a = whole.decoder(1, 30), b = windowed.decoder(1, 30);
  EXPECT_GT(distance(a.prefill(0, ids).f32(), windowed.last_logits(ids)), 100 * kBound);
  EXPECT_LE(distance(b.prefill(0, ids).f32(), windowed.last_logits(ids)), kBound);
}

TEST(Decoder, MoreTokensThanItsCapacityAreABug) {
  Subject s(testing::tiny_gpt2());
  auto decoder = s.decoder(1, 10);
  EXPECT_THROW(decoder.prefill(0, s.prompt(11)), Bug);
  EXPECT_THROW(decoder.prefill(0, {}), Bug);
}

TEST(Decoder, WeightsOfAnotherModelAreAnIoError) {
  Subject s(testing::tiny_gpt2());
  ModelConfig other = testing::tiny_gpt2();
  other.intermediate_size = 81;
  ThreadPool pool(1);
  Decoder decoder({.model = other, .capacity = 10}, pool);
  EXPECT_THROW(decoder.load(WeightFiles(s.folder)), IoError);
}

}  // namespace
}  // namespace trireme
