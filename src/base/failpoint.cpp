#include "base/failpoint.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace detail {

const bool kFailpointSet = [] {
  const char* text = std::getenv("TRIREME_FAILPOINT");
  if (text == nullptr) return false;
  const std::string_view rank = std::strrchr(text, '@') == nullptr ? "" : std::strrchr(text, '@') + 1;
  const char* own = std::getenv("RANK");
  return rank.empty() || (own != nullptr && rank == own);
}();

}  // namespace detail

namespace {

struct Failpoint {
  std::string name, action;
  int64_t pass = 1;
};

Failpoint read_failpoint() {
  const std::string whole = std::getenv("TRIREME_FAILPOINT"), text = whole.substr(0, whole.rfind('@'));
  const auto refuse = [&] {
    throw ConfigError(cat("TRIREME_FAILPOINT=", text, ": expected NAME:kill|stop|error|skip[:N][@RANK]"));
  };
  Failpoint point;
  const size_t colon = text.find(':');
  if (colon == std::string::npos) refuse();
  point.name = text.substr(0, colon);
  point.action = text.substr(colon + 1);
  if (const size_t second = point.action.find(':'); second != std::string::npos) {
    if (!parse_integer(point.action.substr(second + 1), point.pass)) refuse();
    point.action.resize(second);
  }
  if (point.action != "kill" && point.action != "stop" && point.action != "error" && point.action != "skip") refuse();
  return point;
}

}  // namespace

bool detail::pass_failpoint(std::string_view name) {
  static const Failpoint point = read_failpoint();
  static std::atomic<int64_t> passes{0};
  if (name != point.name) return false;
  if (point.action == "skip") return true;
  if (++passes != point.pass) return false;
  if (point.action == "kill") std::raise(SIGKILL);
  if (point.action == "stop") std::raise(SIGSTOP);
  if (point.action == "error") throw IoError(cat("failpoint ", name));
  return false;
}

}  // namespace trireme
