// Runs `trireme WORDS...` inside the test's process and keeps what it prints.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "app/commands.h"

namespace trireme::testing {

struct Outcome {
  int code;
  std::string out, err;
};

inline Outcome run(std::vector<std::string> words) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = run_main(std::move(words));
  std::string out = ::testing::internal::GetCapturedStdout();
  return {code, std::move(out), ::testing::internal::GetCapturedStderr()};
}

}  // namespace trireme::testing
