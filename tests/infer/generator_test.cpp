// Text from prompts. Scripted models say a fixed row of tokens, one a position, so that stop strings, ends and
// characters fall where a test wants them.
#include "infer/generator.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <tuple>

#include "base/strings.h"
#include "infer/model_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_models.h"

namespace trireme {
namespace {

constexpr int64_t kVocab = 300;  // of the matrix; the tokenizer has 258 tokens

ModelConfig byte_model(const char* more = "") {
  return ModelConfig::from_json(
      Json::parse(cat(R"({"model_type":"gpt2","vocab_size":300,"n_embd":48,"n_layer":1,"n_head":2,"n_positions":48,
      "tie_word_embeddings":false)",
                      more, "}"),
                  "byte_model"));
}

class GeneratorTest : public ::testing::Test {
 protected:
  Generator load(const ModelConfig& config, const testing::PlainModel& plain) {
    const std::string folder = testing::write_model(dir.path(), config, plain);
    testing::byte_tokenizer().save(folder);
    return {load_model_folder(folder), pool};
  }
  /// A model that says `script` after a prompt of one token, whatever that is. Position p is told from others by
  /// channel p alone; the head turns channel p into token script[p].
  Generator scripted(const std::vector<int32_t>& script, const char* more = "") {
    const ModelConfig config = byte_model(more);
    return load(config, testing::PlainModel(config, 1, [&](Param& p) {
                  float* values = p.value.f32();
                  if (p.spec.name.find("norm") != std::string::npos) return;
                  std::fill_n(values, p.value.numel(), 0.0F);
                  for (int64_t i = 0; i < 48; ++i) {
                    if (p.spec.name == "embedding.positions.weight") values[i * 48 + i] = 1;
                    if (p.spec.name == "head.weight" && static_cast<size_t>(i) < script.size())
                      values[script[static_cast<size_t>(i)] * 48 + i] = 10;
                    if (p.spec.name == "head.weight")
                      values[299 * 48 + i] = 1000;  // a row of padding, likelier than any token
                  }
                }));
  }
  Generator random(const char* more = R"(,"initializer_range":0.5)") {
    const ModelConfig config = byte_model(more);
    return load(config, testing::PlainModel(config, 5));
  }

  struct Heard {
    Generation result;
    std::vector<std::string> pieces;
  };
  /// The answer to a prompt of one token, greedy.
  Heard hear(Generator generator, std::vector<std::string> stop = {}, int64_t max_new_tokens = 20,
             bool ignore_eos = false) {
    Heard heard;
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_new_tokens = max_new_tokens;
    options.stop = std::move(stop);
    options.ignore_eos = ignore_eos;
    options.raw_prompt = true;
    heard.result = generator.generate({"?"}, options, [&](size_t prompt, std::string_view text) {
      EXPECT_EQ(prompt, 0U);
      EXPECT_FALSE(text.empty());
      heard.pieces.emplace_back(text);
    })[0];
    std::string joined;
    for (const std::string& piece : heard.pieces) joined += piece;
    EXPECT_EQ(joined, heard.result.text);
    return heard;
  }
  static std::vector<int32_t> bytes(std::string_view text) {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
    return ids;
  }
  static std::string complaint(Generator generator, const std::string& prompt, const GenerateOptions& options) {
    try {
      generator.generate({prompt}, options, {});
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  }

  testing::TempDir dir;
  ThreadPool pool{2};
};

TEST_F(GeneratorTest, WeightsStayAsTheyAreStoredOnAGpuOnly) {
  for (const auto& [name, type, size] :
       {std::tuple{"F32", DType::f32, 4}, {"BF16", DType::bf16, 2}, {"F16", DType::f16, 2}}) {
    const std::string header = cat(R"({"w":{"dtype":")", name, R"(","shape":[1],"data_offsets":[0,)", size, "]}}");
    write_file(dir.path("model.safetensors"), cat(static_cast<char>(header.size()), std::string(7, '\0'), header,
                                                  std::string(static_cast<size_t>(size), '\0')));
    EXPECT_EQ(kept_type(WeightFiles(dir.path()), kCpu), DType::f32);
    EXPECT_EQ(kept_type(WeightFiles(dir.path()), {DeviceKind::cuda, 0}), type) << name;
  }
}

TEST_F(GeneratorTest, SaysTheTokensAndTheirText) {
  const Heard heard = hear(scripted(bytes("hello, world")), {}, 12);
  EXPECT_EQ(heard.result.text, "hello, world");
  EXPECT_EQ(heard.result.ids, bytes("hello, world"));
  EXPECT_EQ(heard.result.finish_reason, "length");
  EXPECT_EQ(heard.pieces.size(), 12U);
}

TEST_F(GeneratorTest, StreamsWholeCharacters) {
  const std::string text = "日é😀 aß";
  const Heard heard = hear(scripted(bytes(text)), {}, static_cast<int64_t>(text.size()));
  EXPECT_EQ(heard.result.text, text);
  EXPECT_EQ(heard.pieces, (std::vector<std::string>{"日", "é", "😀", " ", "a", "ß"}));
}

TEST_F(GeneratorTest, ACharacterCutShortByTheLengthIsStillHandedOut) {
  EXPECT_EQ(hear(scripted(bytes("a日")), {}, 3).result.text, "a\xE6\x97");
}

TEST_F(GeneratorTest, StopStringsEndTheTextAcrossTokens) {
  struct Case {
    std::vector<std::string> stops;
    std::string text, reason;
    size_t ids;
  };
  for (const Case& c : std::vector<Case>{{{"lo, w"}, "hel", "stop", 8},
                                         {{"lo, x"}, "hello, world", "length", 12},
                                         {{"world", "o"}, "hell", "stop", 5},
                                         {{"hello, world"}, "", "stop", 12},
                                         {{"h"}, "", "stop", 1},
                                         {{"ld"}, "hello, wor", "stop", 12},
                                         {{"ldx"}, "hello, world", "length", 12},
                                         {{"ll", "l"}, "he", "stop", 3},
                                         {{"lll", "lo"}, "hel", "stop", 5}}) {
    const Heard heard = hear(scripted(bytes("hello, world")), c.stops, 12);
    EXPECT_EQ(heard.result.text, c.text) << c.stops[0];
    EXPECT_EQ(heard.result.finish_reason, c.reason) << c.stops[0];
    EXPECT_EQ(heard.result.ids.size(), c.ids) << c.stops[0];
  }
}

TEST_F(GeneratorTest, WhatFollowsAStopStringInItsTokenIsDropped) {
  // The token is a full stop and the first byte of a character.
  const Heard heard = hear(scripted({'a', testing::kPair, 0x97, 0xA5}), {"."});
  EXPECT_EQ(heard.result.text, "a");
  EXPECT_EQ(heard.result.finish_reason, "stop");
  EXPECT_EQ(hear(scripted({'a', testing::kPair, 0x97, 0xA5, 'b'}), {"日b"}, 5).result.text, "a.");
}

TEST_F(GeneratorTest, EndsAtTheEndOfText) {
  const std::vector<int32_t> script{'a', 'b', testing::kEos, 'c', 'd'};
  const Heard ended = hear(scripted(script));
  EXPECT_EQ(ended.result.text, "ab");
  EXPECT_EQ(ended.result.finish_reason, "eos");
  EXPECT_EQ(ended.result.ids, bytes("ab"));
  EXPECT_EQ(hear(scripted(script), {}, 5, true).result.text, "ab<eos>cd");
  const Heard by_config = hear(scripted(bytes("abcd"), R"(,"eos_token_id":99)"));
  EXPECT_EQ(by_config.result.text, "ab");
  EXPECT_EQ(by_config.result.finish_reason, "eos");
  EXPECT_EQ(hear(scripted({'a', 'l', testing::kEos}), {"lo"}).result.text,
            "al");  // what might have become a stop string
}

TEST_F(GeneratorTest, PaddingRowsAreNeverChosen) {
  for (const SamplingParams& sampling :
       {SamplingParams{.temperature = 0}, SamplingParams{}, SamplingParams{.top_k = 3}, SamplingParams{.top_p = 0.9}}) {
    Generator generator = scripted(bytes("x"));
    const std::vector<Generation> texts = generator.generate(
        std::vector<std::string>(5, "?"), {.sampling = sampling, .max_new_tokens = 40, .ignore_eos = true}, {});
    for (const Generation& g : texts)
      for (const int32_t id : g.ids) EXPECT_LT(id, 258);
  }
}

TEST_F(GeneratorTest, EachOfManyPromptsIsAnsweredAsAlone) {
  std::vector<std::string> prompts;
  for (size_t i = 0; i < 20; ++i) prompts.push_back("prompt " + std::string(i, 'x'));  // more than go side by side
  const GenerateOptions greedy{.sampling = {.temperature = 0, .repetition_penalty = 1.3}, .max_new_tokens = 15};
  Generator generator = random();
  GenerateStats stats;
  std::vector<std::string> streamed(prompts.size());
  const std::vector<Generation> together = generator.generate(
      prompts, greedy, [&](size_t prompt, std::string_view text) { streamed[prompt] += text; }, &stats);
  int64_t new_tokens = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Generation alone = generator.generate({prompts[i]}, greedy, {})[0];
    EXPECT_EQ(together[i].ids, alone.ids) << i;
    EXPECT_EQ(together[i].text, alone.text) << i;
    EXPECT_EQ(streamed[i], alone.text) << i;
    new_tokens += static_cast<int64_t>(alone.ids.size()) + (alone.finish_reason == "eos" ? 1 : 0);
  }
  EXPECT_EQ(stats.new_tokens, new_tokens);
  EXPECT_EQ(stats.prompt_tokens, 20 * 8 + 19 * 20 / 2);  // the first token included
}

TEST_F(GeneratorTest, APenaltyChangesWhatIsLikeliest) {
  Generator generator = random();
  const auto say = [&](double penalty) {
    const GenerateOptions greedy{.sampling = {.temperature = 0, .repetition_penalty = penalty}, .max_new_tokens = 30};
    return generator.generate({"prompt"}, greedy, {})[0].ids;
  };
  const std::vector<int32_t> plain = say(1), penalised = say(50);
  EXPECT_NE(plain, penalised);
  // Thirty different tokens, as one that came before counts for little.
  EXPECT_EQ(std::set<int32_t>(penalised.begin(), penalised.end()).size(), penalised.size());
  EXPECT_LT(std::set<int32_t>(plain.begin(), plain.end()).size(), plain.size());
}

TEST_F(GeneratorTest, TheSameSeedSaysTheSame) {
  Generator generator = random();
  const auto say = [&](uint64_t seed, size_t samples) {
    std::vector<std::string> texts;
    for (const Generation& g : generator.generate(std::vector<std::string>(samples, "a"),
                                                  {.sampling = {.seed = seed}, .max_new_tokens = 20}, {}))
      texts.push_back(g.text);
    return texts;
  };
  const std::vector<std::string> twenty = say(1, 20), three = say(1, 3);
  EXPECT_EQ(twenty, say(1, 20));
  EXPECT_EQ(three, std::vector<std::string>(twenty.begin(), twenty.begin() + 3));
  EXPECT_NE(twenty, say(2, 20));
  EXPECT_NE(twenty[0], twenty[1]);
}

TEST_F(GeneratorTest, WhatCannotBeIsAConfigError) {
  const GenerateOptions raw{.max_new_tokens = 8, .raw_prompt = true};
  const auto with = [&](auto change) {
    GenerateOptions options = raw;
    change(options);
    return options;
  };
  EXPECT_EQ(complaint(random(), std::string(40, 'x'), raw), "");
  EXPECT_NE(complaint(random(), std::string(41, 'x'), raw).find("need 49 positions, the model has 48"),
            std::string::npos);
  EXPECT_NE(complaint(random(), std::string(40, 'x'), {.max_new_tokens = 8}).find("need 49 positions"),
            std::string::npos);
  EXPECT_NE(complaint(random(), "", raw).find("prompt is empty"), std::string::npos);
  for (const int64_t n : {int64_t{0}, int64_t{-1}, int64_t{49}, std::numeric_limits<int64_t>::max()})
    EXPECT_NE(complaint(random(), "x", with([&](auto& o) { o.max_new_tokens = n; })).find("max-new-tokens"),
              std::string::npos)
        << n;
  EXPECT_NE(complaint(random(), "x", with([](auto& o) {
                        o.stop = {"a", ""};
                      }))
                .find("empty stop string"),
            std::string::npos);
  EXPECT_NE(complaint(random(), "x", with([](auto& o) { o.sampling.top_p = 2; })).find("top-p"), std::string::npos);
  EXPECT_NE(complaint(random(R"(,"bos_token_id":299)"), "x", {.max_new_tokens = 8}).find("bos_token_id is 299"),
            std::string::npos);
  EXPECT_EQ(complaint(random(R"(,"bos_token_id":299)"), "x", raw), "");
}

TEST_F(GeneratorTest, ATokenizerLargerThanTheModelIsRefused) {
  ModelConfig config = byte_model();
  config.vocab_size = 257;
  EXPECT_THROW(load(config, testing::PlainModel(config, 1)), ConfigError);
}

TEST_F(GeneratorTest, DamagedWeightsAreANumericError) {
  const ModelConfig config = byte_model();
  // Damaged after the save, which refuses such weights: the last tensor of the file is the embedding.
  const std::string folder = testing::write_model(dir.path(), config, testing::PlainModel(config, 1));
  testing::byte_tokenizer().save(folder);
  std::string file = read_file(folder + "/model.safetensors");
  std::fill(file.end() - 4 * 48 * kVocab, file.end(), '\xFF');
  write_file(folder + "/model.safetensors", file);
  Generator generator(load_model_folder(folder), pool);
  EXPECT_THROW(generator.generate({"x"}, {.sampling = {.temperature = 0}, .max_new_tokens = 4}, {}), NumericError);
}

TEST_F(GeneratorTest, NoPromptsGiveNoTexts) {
  Generator generator = random();
  EXPECT_TRUE(generator.generate({}, {.max_new_tokens = 4}, {}).empty());
}

}  // namespace
}  // namespace trireme
