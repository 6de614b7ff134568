#include <gtest/gtest.h>

#include <filesystem>

#include "app/run.h"
#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "support/temp_dir.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::Outcome;
using testing::run;

class ChatCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_);
    write_file(folder_ + "/chat_template.jinja",
               "{{ tools | length if tools }}{{ mood }}{% for m in messages %}<{{ m.role }}>{{ m.content }}"
               "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}");
    write_file(file_, R"([{"role": "user", "content": "Hi <|endoftext|>"}])");
  }
  std::vector<std::string> words(const std::vector<std::string>& more) const {
    std::vector<std::string> out = {"tokenizer", "chat", "--tokenizer", folder_};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }

  testing::TempDir dir_;
  const std::string folder_ = dir_.path("model"), file_ = dir_.path("messages.json");
};

TEST_F(ChatCommand, PrintsTheTextAsItIs) {
  const Outcome out = run(words({file_}));
  EXPECT_EQ(out.code, 0) << out.err;
  EXPECT_EQ(out.out, "<user>Hi <|endoftext|><assistant>");
}

TEST_F(ChatCommand, EveryOptionReachesTheTemplate) {
  write_file(dir_.path("tools.json"), "[{}, {}]");
  EXPECT_EQ(run(words({"--no-generation-prompt", file_})).out, "<user>Hi <|endoftext|>");
  EXPECT_EQ(run(words({"--tools", dir_.path("tools.json"), file_})).out, "2<user>Hi <|endoftext|><assistant>");
  EXPECT_EQ(run(words({"--set", "mood=[1, true]", file_})).out, "[1, True]<user>Hi <|endoftext|><assistant>");
  EXPECT_EQ(run(words({"--set", "mood=good", file_})).out, "good<user>Hi <|endoftext|><assistant>");
  EXPECT_NE(run(words({"--template", "rag", file_})).err.find("there are: default"), std::string::npos);
  EXPECT_EQ(run(words({"--set", "mood", file_})).code, 2);
}

TEST_F(ChatCommand, IdsHaveSpecialTokensAsSuch) {
  write_file(dir_.path("corpus.txt"), "hello there, hello sea\n");
  ASSERT_EQ(run({"tokenizer", "train", "--vocab-size", "260", "--out", folder_, dir_.path("corpus.txt")}).code, 0);
  const Outcome out = run(words({"--ids", file_}));
  ASSERT_EQ(out.code, 0) << out.err;
  const Tokenizer tokenizer = Tokenizer::load(folder_);
  std::string expected;
  for (const int32_t id : tokenizer.encode("<user>Hi <|endoftext|><assistant>", true)) expected += cat(id, " ");
  expected.back() = '\n';
  EXPECT_EQ(out.out, expected);
  EXPECT_NE(out.out.find(cat(" ", *tokenizer.eos_id(), " ")), std::string::npos);
}

TEST_F(ChatCommand, EachLineOfAJsonlFileIsAConversation) {
  write_file(dir_.path("many.jsonl"),
             "{\"messages\": [{\"role\": \"user\", \"content\": \"a\\nb\"}], \"tools\": [1]}\n\n"
             "[{\"role\": \"user\", \"content\": \"c\"}]\n");
  EXPECT_EQ(run(words({dir_.path("many.jsonl")})).out, "\"1<user>a\\nb<assistant>\"\n\"<user>c<assistant>\"\n");
  write_file(dir_.path("bad.jsonl"), "[]\n{\"role\": 1}\n");
  const Outcome bad = run(words({dir_.path("bad.jsonl")}));
  EXPECT_NE(bad.code, 0);
  EXPECT_NE(bad.err.find("bad.jsonl: line 2: the key 'messages' is missing"), std::string::npos) << bad.err;
}

TEST_F(ChatCommand, ErrorsNameFileAndLineOfTheTemplate) {
  write_file(folder_ + "/chat_template.jinja", "\n{{ messages[0].content + 1 }}");
  const Outcome out = run(words({file_}));
  EXPECT_EQ(out.code, 2);
  EXPECT_NE(out.err.find("chat_template.jinja: line 2: unsupported operand types for +: 'str' and 'int'"),
            std::string::npos)
      << out.err;
}

}  // namespace
}  // namespace trireme
