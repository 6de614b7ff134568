// Named places at which a test ends, stops or fails the process, so that kills hit the phase that they are meant for.
// Off unless TRIREME_FAILPOINT=NAME:ACTION[:N][@RANK] is set when the program starts; then the N-th pass (default: the
// first) of the place NAME does ACTION, with @RANK only where the variable RANK is that number:
//   kill, stop   SIGKILL or SIGSTOP to this process
//   error        throws IoError
//   skip         failpoint() is true, at every pass: the caller leaves out what follows
#pragma once

#include <string_view>

namespace trireme {

namespace detail {
extern const bool kFailpointSet;
bool pass_failpoint(std::string_view name);
}  // namespace detail

/// Marks a place. Costs the test of one bool where the variable is not set.
inline bool failpoint(std::string_view name) { return detail::kFailpointSet && detail::pass_failpoint(name); }

}  // namespace trireme
