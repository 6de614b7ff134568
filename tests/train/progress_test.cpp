#include "train/progress.h"

#include <gtest/gtest.h>

#include <array>

namespace trireme {
namespace {

/// A file in memory whose content can be read back.
class Sink {
 public:
  Sink() : file_(std::tmpfile()) {}
  ~Sink() { std::fclose(file_); }
  std::FILE* file() { return file_; }
  std::string text() {
    std::string out;
    std::rewind(file_);
    std::array<char, 4096> part{};
    while (const size_t n = std::fread(part.data(), 1, part.size(), file_)) out.append(part.data(), n);
    return out;
  }

 private:
  std::FILE* file_;
};

TEST(Progress, SaysHowFarHowFastAndHowLong) {
  Sink sink;
  Progress progress(sink.file(), false, 10, 110, 100.0);
  progress.update(60, 3.25, 12300, 150.0);
  const std::string text = progress.text(100);
  EXPECT_NE(text.find(" 60/110 "), std::string::npos) << text;
  EXPECT_NE(text.find("loss 3.25"), std::string::npos) << text;
  EXPECT_NE(text.find("12.3 k tokens/s"), std::string::npos) << text;
  EXPECT_NE(text.find("50 s left"), std::string::npos) << text;  // 50 steps in 50 s: 50 more take as long
  EXPECT_EQ(text[0], '[');
}

TEST(Progress, NeverExceedsItsWidth) {
  Sink sink;
  Progress progress(sink.file(), true, 0, 1000, 0);
  progress.update(999, 1.23456789, 123456, 7.5);
  for (int columns = 0; columns < 120; ++columns) {
    EXPECT_LE(progress.text(columns).size(), static_cast<size_t>(columns));
  }
  progress.update(1000, 1, 1, 8);
  EXPECT_NE(progress.text(100).find("####]"), std::string::npos);
  EXPECT_EQ(progress.text(100).find('.', 1), progress.text(100).find('.', progress.text(100).find(']')));
}

TEST(Progress, ATerminalIsRedrawnInPlaceAtMostTenTimesASecond) {
  Sink sink;
  Progress progress(sink.file(), true, 0, 1000, 0);
  for (int step = 1; step <= 100; ++step) progress.update(step, 1, 1, 0.01 * step);
  progress.finish();
  const std::string text = sink.text();
  const auto draws = std::count(text.begin(), text.end(), '\r');
  EXPECT_GE(draws, 9);
  EXPECT_LE(draws, 11);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.back(), '\n');
}

TEST(Progress, ElsewhereItIsAPlainLineEveryFewSeconds) {
  Sink sink;
  Progress progress(sink.file(), false, 0, 20, 0);
  for (int step = 1; step <= 20; ++step) progress.update(step, 1, 1, step);
  progress.clear();
  const std::string text = sink.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(Progress, BeforeTheFirstStepThereIsNothingToDivideBy) {
  Sink sink;
  const Progress progress(sink.file(), false, 0, 0, 0);
  EXPECT_EQ(progress.text(60).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace trireme
