// How a rank tells its launcher why it failed: one line through a pipe that the launcher has left open. So the cause is
// known even where other ranks, who follow it, end first.
#pragma once

#include <string>

namespace trireme {

constexpr const char* kReportFd = "TRIREME_REPORT_FD";  // the variable with the pipe's number

/// "RANK TEXT" to the launcher, if there is one. Not for a PeerError: that is another rank's failure.
void report_failure(int rank, const std::string& why) noexcept;

}  // namespace trireme
