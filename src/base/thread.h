// base: threads beside the first one, which alone takes the signals that stop a run.
#pragma once

#include <pthread.h>

#include <csignal>
#include <thread>
#include <utility>

namespace trireme {
namespace detail {

/// SIGINT and SIGTERM wait while this lives; a thread that is started meanwhile never gets them.
class StopSignalsBlocked {
 public:
  StopSignalsBlocked() {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, &before_);
  }
  ~StopSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  StopSignalsBlocked(const StopSignalsBlocked&) = delete;
  StopSignalsBlocked& operator=(const StopSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace detail

/// Runs f() in a new thread. The system gives a signal to any thread that takes it, and one that sleeps may take long
/// to wake: so that a run stops after the step at hand, these take none.
template <class F>
std::thread start_thread(F f) {
  const detail::StopSignalsBlocked blocked;
  return std::thread(std::move(f));
}

}  // namespace trireme
