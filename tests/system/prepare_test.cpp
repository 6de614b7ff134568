// `trireme prepare` killed at a failpoint or at any time, then called again: the files of an uninterrupted call,
// whatever the number of threads.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/strings.h"
#include "system/child.h"

namespace trireme {
namespace {

using testing::Child;

class PrepareCommand : public ::testing::Test {
 protected:
  /// About 8 blocks of JSON lines and one text.
  void SetUp() override {
    std::string lines, text;
    for (int i = 0; i < 60000; ++i) {
      const std::string line = cat("《春眠", i, "》 spring sleep, number ", i * 7919 % 10007, " of many; 處處聞啼鳥。");
      lines += cat("{\"id\": ", i, ", \"text\": \"", line, line, "\"}\n");
      if (i % 10 == 0) text += line + "\n%\n";
    }
    write_file(lines_, lines);
    write_file(text_, text);
    Child trained(
        {"tokenizer", "train", "--vocab-size", "400", "--document-separator", "%", "--out", dir_.path("tok"), text_});
    ASSERT_EQ(trained.wait(), 0) << trained.err();
  }

  std::vector<std::string> words(const std::string& out, int threads) const {
    return {"prepare", "--tokenizer",         dir_.path("tok"),       "--threads", cat(threads),
            "--out",   dir_.path(out + "/t"), "--document-separator", "%",         lines_,
            text_};
  }
  std::string files(const std::string& out) const {
    std::string bytes;
    for (const char* ending : {".bin", ".idx", ".meta.json"}) bytes += read_file(dir_.path(out + "/t") + ending);
    return bytes;
  }

  testing::TempDir dir_;
  const std::string lines_ = dir_.path("a.jsonl"), text_ = dir_.path("b.txt");
};

TEST_F(PrepareCommand, KilledAnywhereAndCalledAgainGivesTheSameFilesForAnyNumberOfThreads) {
  Child whole(words("whole", 1));
  ASSERT_EQ(whole.wait(), 0) << whole.err();
  const std::string expected = files("whole");
  int number = 0;
  for (const char* failpoint : {"prepare.block:kill:1", "prepare.block:kill:5", "prepare.before_index:kill"}) {
    const std::string out = cat("killed", number++);
    Child killed(words(out, 2), {.environment = {cat("TRIREME_FAILPOINT=", failpoint)}});
    EXPECT_EQ(killed.wait(), -SIGKILL) << failpoint << killed.err();
    EXPECT_FALSE(std::filesystem::exists(dir_.path(out + "/t.idx")));
    Child again(words(out, 1 + number % 2));
    EXPECT_EQ(again.wait(), 0) << again.err();
    EXPECT_TRUE(files(out) == expected) << failpoint;
  }
  for (int ms = 20; ms <= 320; ms *= 2) {
    const std::string out = cat("killed", number++);
    Child killed(words(out, 2));
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    killed.kill(SIGKILL);
    killed.wait();
    Child again(words(out, 2));
    EXPECT_EQ(again.wait(), 0) << again.err();
    EXPECT_TRUE(files(out) == expected) << ms << " ms";
  }
}

}  // namespace
}  // namespace trireme
