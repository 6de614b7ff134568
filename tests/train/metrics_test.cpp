#include "train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

StepRecord record_at(int64_t step) {
  return {.step = step,
          .epoch = 1,
          .batch = step - 1,
          .loss = 2.5,
          .lr = 1e-3,
          .grad_norm = 0.75,
          .tokens = 512 * step,
          .step_tokens = 512,
          .step_ms = 20,
          .reader_ms = 0.5};
}

void write_steps(const std::string& path, int64_t from, int64_t to) {
  MetricsWriter writer(path, from - 1);
  for (int64_t step = from; step <= to; ++step) writer.append(record_at(step));
}

TEST(Metrics, ARowHasEveryFieldAndReadsBackExactly) {
  const testing::TempDir dir;
  MetricsWriter writer(dir.path("m.jsonl"), 0);
  StepRecord record = record_at(3);
  record.loss = 0.1 + 0.2;
  record.eval_loss = 1.0 / 3;
  writer.append(record);
  const std::string text = read_file(dir.path("m.jsonl"));  // while the writer is open: the row is out already
  ASSERT_EQ(text.back(), '\n');
  const Json row = Json::parse(text, "row");
  EXPECT_EQ(row.at("step").as_integer(), 3);
  EXPECT_EQ(row.at("epoch").as_integer(), 1);
  EXPECT_EQ(row.at("batch").as_integer(), 2);
  EXPECT_EQ(row.at("loss").as_real(), 0.1 + 0.2);
  EXPECT_EQ(row.at("lr").as_real(), 1e-3);
  EXPECT_EQ(row.at("grad_norm").as_real(), 0.75);
  EXPECT_EQ(row.at("tokens").as_integer(), 1536);
  EXPECT_EQ(row.at("tokens_per_second").as_real(), 25600);
  EXPECT_EQ(row.at("step_ms").as_real(), 20);
  EXPECT_EQ(row.at("reader_ms").as_real(), 0.5);
  EXPECT_EQ(row.at("eval_loss").as_real(), 1.0 / 3);
}

TEST(Metrics, EvalLossAndSkippedAppearOnlyWhereTheyHappened) {
  const testing::TempDir dir;
  write_steps(dir.path("m.jsonl"), 1, 1);
  const Json row = Json::parse(read_file(dir.path("m.jsonl")), "row");
  EXPECT_EQ(row.find("eval_loss"), nullptr);
  EXPECT_EQ(row.find("skipped"), nullptr);
}

TEST(Metrics, ALossScaleIsToldWithTheStepsItLeftOut) {
  const testing::TempDir dir;
  MetricsWriter writer(dir.path("m.jsonl"), 0);
  StepRecord record = record_at(1);
  record.grad_norm = std::numeric_limits<double>::infinity();
  record.skipped = true;
  record.loss_scale = 65536;
  record.skipped_steps = 2;
  writer.append(record);
  const Json row = Json::parse(read_file(dir.path("m.jsonl")), "row");
  EXPECT_EQ(row.at("loss_scale").as_real(), 65536);
  EXPECT_EQ(row.at("skipped_steps").as_integer(), 2);
  LogWindow window;
  window.add(record);
  const std::string line = window.line({});
  EXPECT_NE(line.find(", loss scale: 65536, skipped: 2, update skipped: overflow"), std::string::npos) << line;
}

TEST(Metrics, ValuesThatJsonHasNotBecomeNull) {
  const testing::TempDir dir;
  MetricsWriter writer(dir.path("m.jsonl"), 0);
  StepRecord record = record_at(1);
  record.loss = std::nan("");
  record.grad_norm = std::numeric_limits<double>::infinity();
  record.eval_loss = -std::numeric_limits<double>::infinity();
  writer.append(record);
  const Json row = Json::parse(read_file(dir.path("m.jsonl")), "row");
  EXPECT_TRUE(row.at("loss").is_null());
  EXPECT_TRUE(row.at("grad_norm").is_null());
  EXPECT_TRUE(row.at("eval_loss").is_null());
}

TEST(Metrics, ExtremeNumbersFitTheRow) {
  const testing::TempDir dir;
  MetricsWriter writer(dir.path("m.jsonl"), 0);
  StepRecord record;
  record.step = record.epoch = record.batch = record.tokens = record.step_tokens = std::numeric_limits<int64_t>::min();
  record.loss = record.lr = record.grad_norm = record.step_ms = record.reader_ms = -2.2250738585072014e-308;
  record.eval_loss = -1.7976931348623157e308;
  record.skipped = true;
  writer.append(record);
  EXPECT_EQ(Json::parse(read_file(dir.path("m.jsonl")), "row").at("eval_loss").as_real(), -1.7976931348623157e308);
}

TEST(Metrics, ResumingCutsLaterRowsAndATornLine) {
  const testing::TempDir dir;
  const std::string path = dir.path("m.jsonl");
  write_steps(path, 1, 5);
  const std::string five = read_file(path);
  write_steps(path, 4, 5);
  EXPECT_EQ(read_file(path), five);
  write_file(path, five + R"({"step":6,"epo)");
  write_steps(path, 6, 7);
  EXPECT_EQ(split(trim(read_file(path)), '\n').size(), 7U);
  EXPECT_EQ(read_file(path).substr(0, five.size()), five);
  write_file(path, five.substr(0, five.size() - 1));  // only the newline is missing
  write_steps(path, 5, 5);
  EXPECT_EQ(read_file(path), five);
}

TEST(Metrics, DamagedLinesAreDroppedAndTheRestKept) {
  const testing::TempDir dir;
  const std::string path = dir.path("m.jsonl");
  write_steps(path, 1, 2);
  const std::string two = read_file(path);
  const size_t end = two.find('\n') + 1;
  write_file(path, two.substr(0, end) + std::string("\0\0\0\n{\"loss\":1}\n7\n", 17) + two.substr(end));
  MetricsWriter(path, 2);
  EXPECT_EQ(read_file(path), two);
}

TEST(Metrics, AFreshRunStartsEmpty) {
  const testing::TempDir dir;
  write_steps(dir.path("m.jsonl"), 1, 3);
  MetricsWriter(dir.path("m.jsonl"), 0);
  EXPECT_EQ(read_file(dir.path("m.jsonl")), "");
}

TEST(Metrics, AFullDiskIsAnErrorThatNamesTheFile) {
  const testing::TempDir dir;
  std::filesystem::create_symlink("/dev/full", dir.path("m.jsonl"));  // a link, so that no test can replace the device
  MetricsWriter full(dir.path("m.jsonl"), 0);
  try {
    full.append(record_at(1));
    FAIL() << "nothing was refused";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("m.jsonl"), std::string::npos) << error.what();
  }
}

TEST(Metrics, WhatIsNoRegularFileIsNeverReplaced) {
  const testing::TempDir dir;
  std::filesystem::create_symlink("/dev/null", dir.path("m.jsonl"));
  MetricsWriter(dir.path("m.jsonl"), 0).append(record_at(1));
  EXPECT_TRUE(std::filesystem::is_symlink(dir.path("m.jsonl")));
}

TEST(LogWindow, AveragesOverItsStepsAndBeginsAnew) {
  LogWindow window;
  StepRecord first = record_at(1), second = record_at(2);
  second.step_ms = 60;
  second.reader_ms = 1.5;
  second.loss = 11.255846024;
  window.add(first);
  window.add(second);
  const LogWindow::Machine machine = {
      .ranks = 2, .peak_bytes = 3 * 1024.0 * 1024, .flops_per_token = 1e6, .gemm_rate = 2.56e10};
  EXPECT_EQ(
      window.line(machine),
      "global step 2, epoch: 1, batch: 1, loss: 11.25584602, avg_reader_cost: 0.00100 sec, avg_batch_cost: 0.04000 "
      "sec, speed: 25 step/s, ips_total: 12800 tokens/s, ips: 6400 tokens/s, learning rate: 0.001, grad norm: 0.75, "
      "peak memory: 3 MiB, of GEMM rate: 50 %");
  window.add(first);
  const std::string line = window.line({});
  EXPECT_NE(line.find("avg_batch_cost: 0.02000 sec"), std::string::npos) << line;
  EXPECT_EQ(line.find("GEMM"), std::string::npos) << line;
}

TEST(PeakMemory, GrowsWithWhatIsTouched) {
  const double before = peak_memory_bytes();
  const std::string block(static_cast<size_t>(before) + (64 << 20), 'x');
  EXPECT_GT(peak_memory_bytes(), before + (32 << 20)) << block.size();
}

}  // namespace
}  // namespace trireme
