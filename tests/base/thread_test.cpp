#include "base/thread.h"

#include <gtest/gtest.h>

#include <csignal>

namespace trireme {
namespace {

bool takes(int signal) {
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return sigismember(&blocked, signal) == 0;
}

TEST(Thread, LeavesTheSignalsThatStopARunToItsStarter) {
  bool interrupt = true, terminate = true, fault = false;
  start_thread([&] {
    interrupt = takes(SIGINT);
    terminate = takes(SIGTERM);
    fault = takes(SIGSEGV);
  }).join();
  EXPECT_FALSE(interrupt || terminate);
  EXPECT_TRUE(fault);  // what a thread does itself is told as ever
  EXPECT_TRUE(takes(SIGINT) && takes(SIGTERM));
}

}  // namespace
}  // namespace trireme
