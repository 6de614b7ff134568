#include "base/log.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

TEST(Log, WritesWholeLinesToTheFileFromEveryThread) {
  const testing::TempDir dir;
  ::testing::internal::CaptureStderr();
  set_log_file(dir.path("a.log"));
  set_log_level(LogLevel::warn);
  log_info("not this");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 50; ++i) log_warn(cat("thread ", t, " line ", i, " {}"));  // braces are text
    });
  for (std::thread& t : threads) t.join();
  set_log_file(dir.path("b.log"));
  log_error("later");
  set_log_file("");
  set_log_level(LogLevel::info);
  const std::string on_stderr = ::testing::internal::GetCapturedStderr();

  const std::vector<std::string> lines = split(read_file(dir.path("a.log")), '\n');
  ASSERT_EQ(lines.size(), 201u);
  for (size_t i = 0; i < 200; ++i)
    EXPECT_TRUE(ends_with(lines[i], " {}") && lines[i].find("warning") != std::string::npos) << lines[i];
  EXPECT_NE(read_file(dir.path("b.log")).find("later\n"), std::string::npos);
  EXPECT_NE(on_stderr.find("later\n"), std::string::npos);
  EXPECT_EQ(on_stderr.find("not this"), std::string::npos);
  EXPECT_THROW(set_log_file(dir.path("missing/x.log/")), IoError);
}

}  // namespace
}  // namespace trireme
