#include "chat/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

class ChatTemplates : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(dir_.path(name)).parent_path());
    write_file(dir_.path(name), text);
  }
  std::string apply(const std::string& messages, const ChatOptions& options = {}) const {
    return ChatTemplate::load(dir_.path("")).apply(Json::parse(messages, "messages"), options).text;
  }
  std::string failure(const std::string& messages, const ChatOptions& options = {}) const {
    try {
      return "applied: " + apply(messages, options);
    } catch (const ConfigError& error) {
      return error.what();
    }
  }

  testing::TempDir dir_;
  const std::string hello_ = R"([{"role": "user", "content": "Hi"}])";
};

TEST_F(ChatTemplates, SpecialTokensAreTextsOrObjects) {
  write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false},
    "unk_token": null, "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ unk_token is defined }}"})");
  EXPECT_EQ(apply(hello_), "<s>Hi</s>False");
}

TEST_F(ChatTemplates, AFileWinsOverTheConfigWhichStillNamesTheTokens) {
  write("tokenizer_config.json", R"({"eos_token": "</s>", "chat_template": "config"})");
  write("chat_template.jinja", "file{{ eos_token }}\n");
  EXPECT_EQ(apply(hello_), "file</s>");
}

TEST_F(ChatTemplates, TokensOfTheSpecialTokensMapFillGaps) {
  write("tokenizer_config.json", R"({"eos_token": "E", "chat_template": "{{ bos_token }}{{ eos_token }}"})");
  write("special_tokens_map.json", R"({"eos_token": "X", "bos_token": "B"})");
  EXPECT_EQ(apply(hello_), "BE");
}

TEST_F(ChatTemplates, OneOfSeveralIsChosenByNameOrTools) {
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "plain"},
    {"name": "tool_use", "template": "tools {{ tools | length }}"}, {"name": "rag", "template": "{% broken"}]})");
  EXPECT_EQ(apply(hello_), "plain");
  ChatOptions options;
  options.tools = Json::parse("[{}]", "tools");
  EXPECT_EQ(apply(hello_, options), "tools 1");
  options.name = "default";
  EXPECT_EQ(apply(hello_, options), "plain");
  options.name = "rag";
  EXPECT_NE(failure(hello_, options).find("chat_template rag: line 1: "), std::string::npos)
      << failure(hello_, options);
  options.name = "none";
  EXPECT_NE(failure(hello_, options).find("no chat template named 'none'; there are: default, tool_use, rag"),
            std::string::npos);
}

TEST_F(ChatTemplates, AFolderOfFurtherTemplatesIsRead) {
  write("chat_template.jinja", "default");
  write("additional_chat_templates/tool_use.jinja", "tools");
  EXPECT_EQ(ChatTemplate::load(dir_.path("")).names(), (std::vector<std::string>{"default", "tool_use"}));
}

TEST_F(ChatTemplates, VariablesReachTheTemplateAndWinOverTokens) {
  write(
      "tokenizer_config.json",
      R"({"eos_token": "E", "chat_template": "{{ eos_token }} {{ depth }} {{ add_generation_prompt }} {{ tools }}"})");
  ChatOptions options;
  options.add_generation_prompt = false;
  options.variables["depth"] = 3;
  options.variables["eos_token"] = "mine";
  EXPECT_EQ(apply(hello_, options), "mine 3 False None");
  options.variables["messages"] = 1;
  EXPECT_NE(failure(hello_, options).find("'messages'"), std::string::npos);
}

TEST_F(ChatTemplates, NullsAreMissingAndReasoningHasOneName) {
  write("chat_template.jinja", "{{ messages }}");
  EXPECT_EQ(apply(R"([{"role": "a", "content": null, "reasoning": "r"}])"),
            "[{'thinking': 'r', 'role': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}]");
  EXPECT_EQ(apply(R"([{"role": "a", "reasoning_content": "r", "thinking": "t"}])"),
            "[{'thinking': 't', 'role': 'a', 'reasoning_content': 'r'}]");
}

TEST_F(ChatTemplates, GenerationBlocksAreGivenAsBytes) {
  write("chat_template.jinja",
        "{% for m in messages %}[{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}]{% endfor %}");
  const RenderedText out =
      ChatTemplate::load(dir_.path(""))
          .apply(Json::parse(R"([{"role": "user", "content": "é"}, {"role": "assistant", "content": "好!"}])", "m"),
                 {});
  EXPECT_EQ(out.text, "[é][好!]");
  ASSERT_EQ(out.generated.size(), 1U);
  EXPECT_EQ(out.text.substr(out.generated[0].first, out.generated[0].second - out.generated[0].first), "好!");
}

TEST_F(ChatTemplates, WhatIsMissingOrMalformedIsNamed) {
  EXPECT_NE(failure(hello_).find("no chat template here"), std::string::npos) << failure(hello_);
  write("chat_template.jinja", "x");
  EXPECT_NE(failure("{}").find("expected a list of messages"), std::string::npos);
  EXPECT_NE(failure("[1]").find("message 1: expected an object"), std::string::npos);
  write("tokenizer_config.json", R"({"bos_token": 3})");
  EXPECT_NE(failure(hello_).find("tokenizer_config.json: line 1: expected a string"), std::string::npos)
      << failure(hello_);
}

TEST(Qwen3Template, GivesWhatJinja2Gives) {
  const std::string folder = testing::shared_path("tokenizers/qwen3");
  if (!testing::has_shared("tokenizers/qwen3/tokenizer_config.json")) GTEST_SKIP() << folder << " is not here";
  const ChatTemplate chat = ChatTemplate::load(folder);
  const std::string path = TRIREME_SOURCE_DIR "/tests/golden/chat/qwen3.jsonl";
  int texts = 0;
  for (const std::string& line : split(trim(read_file(path)), '\n')) {
    const Json c = Json::parse(line, path);
    ChatOptions options;
    for (const auto& [name, value] : c.at("options").members()) {
      if (name == "tools")
        options.tools = value;
      else if (name == "add_generation_prompt")
        options.add_generation_prompt = value.as_bool();
      else
        options.variables[name] = value;
    }
    std::string hash = "error";
    try {
      const std::string text = chat.apply(c.at("messages"), options).text;
      hash = hex(hash64(std::as_bytes(std::span(text))));
      ++texts;
    } catch (const ConfigError&) {}
    EXPECT_EQ(hash, c.at("xxh3").as_string()) << line;
  }
  EXPECT_GT(texts, 30);
}

}  // namespace
}  // namespace trireme
