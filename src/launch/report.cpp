#include "launch/report.h"

#include <unistd.h>
#include <climits>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {

void report_failure(int rank, const std::string& why) noexcept {
  const char* fd = std::getenv(kReportFd);
  int64_t number = -1;
  if (fd == nullptr || !parse_integer(fd, number)) return;
  std::string line = cat(rank, " ", why).substr(0, PIPE_BUF - 1);  // so much arrives in one piece
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  [[maybe_unused]] const ssize_t written = write(static_cast<int>(number), line.data(), line.size());
}

}  // namespace trireme
