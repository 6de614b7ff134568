#include <gtest/gtest.h>

#include <filesystem>

#include "support/temp_dir.h"
#include "system/tiny_run.h"

namespace trireme {
namespace {

TEST(ChatTemplateFile, GoesIntoTheCheckpoint) {
  const testing::TempDir dir;
  const std::string recipe = testing::write_tiny_recipe(dir.path()), tokenizer = dir.path("model");
  ASSERT_EQ(testing::run({"tokenizer", "train", "--vocab-size", "280", "--document-separator", "%", "--out", tokenizer,
                          dir.path("text.txt")})
                .code,
            0);
  write_file(tokenizer + "/chat_template.jinja", "{{ messages }}");
  testing::Child child({"train", recipe, "tokenizer.path=" + tokenizer, "train.max_steps=1", "checkpoint.every=1"}, {});
  ASSERT_EQ(child.wait(), 0) << child.err();
  const auto newest = newest_valid(
      dir.path("run"), [](const std::string&, const std::string&) {}, nullptr);
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(read_file(newest->path() + "/chat_template.jinja"), "{{ messages }}");
}

}  // namespace
}  // namespace trireme
