#include "launch/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/strings.h"
#include "comm/sockets.h"
#include "launch/cores.h"
#include "launch/report.h"

namespace trireme {
namespace {

constexpr int kStoppedCode = 3;      // of a rank that a signal stopped and that has saved
constexpr double kGraceSeconds = 5;  // for the others to end by themselves after one has failed
constexpr size_t kLongestLine = 1 << 16;

struct Pipe {
  Fd read, write;

  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw IoError(cat("pipe: ", std::strerror(errno)));
    read = Fd(ends[0]);
    write = Fd(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
};

/// Lines from a pipe, as they come.
class Lines {
 public:
  explicit Lines(Fd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }

  /// Calls fn with every line that is complete; at the end of the file also with the rest.
  template <class Fn>
  void read(Fn fn) {
    char buffer[4096];
    while (fd_) {
      const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
      if (got < 0) return;
      if (got == 0) fd_.reset();
      text_.append(buffer, static_cast<size_t>(got));
      size_t begin = 0;
      for (size_t end; (end = text_.find('\n', begin)) != std::string::npos; begin = end + 1)
        fn(text_.substr(begin, end - begin));
      text_.erase(0, begin);
      if (!text_.empty() && (got == 0 || text_.size() > kLongestLine)) fn(std::exchange(text_, {}));
    }
  }

 private:
  Fd fd_;
  std::string text_;
};

struct Rank {
  pid_t pid = -1;
  std::optional<Lines> output;  // none for rank 0
  bool running = true;
  int status = 0;
};

std::string how_it_ended(int status) {
  if (WIFEXITED(status)) return cat("failed with exit code ", WEXITSTATUS(status));
  const char* name = sigabbrev_np(WTERMSIG(status));
  return cat("was killed by ", name == nullptr ? cat("signal ", WTERMSIG(status)) : cat("SIG", name));
}

bool ended_well(int status) {
  return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kStoppedCode);
}

sigset_t taken_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

std::string new_secret() {
  std::string text;
  for (const std::byte b : random_nonce()) {
    text += "0123456789abcdef"[std::to_integer<int>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<int>(b) & 15];
  }
  return text;
}

class Job {
 public:
  explicit Job(const LaunchOptions& options)
      : options_(options), signals_(taken_signals()), cores_(usable_cores()), secret_(new_secret()) {
    sigprocmask(SIG_BLOCK, &signals_, &before_);
    signal_fd_ = Fd(signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
    reports_.emplace(std::move(report_pipe_.read));
    meeting_ = listen_on("127.0.0.1", options.master_port);  // rank 0 inherits it: no other job can take the port
  }
  ~Job() {
    kill_all();
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  LaunchResult run() {
    for (int r = 0; r < options_.num_processes; ++r) start(r);
    report_pipe_.write.reset();
    meeting_.reset();
    while (std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.running; })) look();
    for (Rank& rank : ranks_) show(rank);
    return result();
  }

 private:
  void start(int r) {
    std::optional<Pipe> output;
    if (r > 0) output.emplace();
    const pid_t launcher = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw IoError(cat("cannot start rank ", r, ": fork: ", std::strerror(errno)));
    if (pid == 0) become(r, launcher, output ? output->write.get() : -1);
    Rank& rank = ranks_.emplace_back();
    rank.pid = pid;
    if (output) rank.output.emplace(std::move(output->read));
  }

  /// In the child: a session of its own (a Ctrl-C reaches the launcher only, which passes it on), which dies with the
  /// launcher.
  [[noreturn]] void become(int r, pid_t launcher, int output) {
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launcher) _exit(1);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    if (output >= 0) {
      dup2(output, STDOUT_FILENO);
      dup2(output, STDERR_FILENO);
      dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    }
    const int report = dup(report_pipe_.write.get());  // a copy is not closed on exec
    const std::vector<int> mine = share_of_cores(cores_, r, options_.num_processes);
    if (!mine.empty()) {
      cpu_set_t set;
      CPU_ZERO(&set);
      for (const int core : mine) CPU_SET(static_cast<size_t>(core), &set);
      sched_setaffinity(0, sizeof set, &set);
    }
    const auto put = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
    put("RANK", cat(r));
    put("LOCAL_RANK", cat(r));
    put("WORLD_SIZE", cat(options_.num_processes));
    put("LOCAL_WORLD_SIZE", cat(options_.num_processes));
    put("MASTER_ADDR", "127.0.0.1");
    put("MASTER_PORT", cat(port_of(meeting_)));
    if (r == 0) put("TRIREME_LISTEN_FD", cat(dup(meeting_.get())));
    put("TRIREME_JOB_SECRET", secret_);
    put("TRIREME_THREADS", cat(std::max<size_t>(1, mine.size())));
    put(kReportFd, cat(report));
    std::vector<char*> arguments = {const_cast<char*>("trireme")};
    for (const std::string& word : options_.words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv("/proc/self/exe", arguments.data());
    _exit(127);
  }

  /// Waits for a signal, a line or the end of the grace, and sees to it.
  void look() {
    std::vector<pollfd> entries = {{signal_fd_.get(), POLLIN, 0}, {reports_->fd(), POLLIN, 0}};
    for (const Rank& rank : ranks_) entries.push_back({rank.output ? rank.output->fd() : -1, POLLIN, 0});
    poll(entries.data(), entries.size(), kill_at_ ? poll_ms(*kill_at_) : -1);
    reports_->read([&](const std::string& line) {
      if (report_.empty()) report_ = line;
    });
    for (Rank& rank : ranks_) show(rank);
    signalfd_siginfo info;
    while (read(signal_fd_.get(), &info, sizeof info) == sizeof info)
      if (info.ssi_signo != SIGCHLD) pass_on(static_cast<int>(info.ssi_signo));
    reap();
    if (kill_at_ && poll_ms(*kill_at_) == 0) {
      killed_ = true;
      kill_all();
      kill_at_.reset();
    }
  }

  void pass_on(int signal) {
    for (const Rank& rank : ranks_)
      if (rank.running) kill(rank.pid, signal == SIGHUP ? SIGTERM : signal);
  }

  void reap() {
    for (size_t r = 0; r < ranks_.size(); ++r) {
      Rank& rank = ranks_[r];
      if (!rank.running || waitpid(rank.pid, &rank.status, WNOHANG) != rank.pid) continue;
      rank.running = false;
      if (ended_well(rank.status)) continue;
      // The others notice by themselves and say so; whoever does not is ended.
      if (!kill_at_ && !killed_) kill_at_ = after(kGraceSeconds);
      const bool by_signal = WIFSIGNALED(rank.status) && !killed_;
      if (!failed_ || (by_signal && !WIFSIGNALED(ranks_[*failed_].status))) failed_ = r;
    }
  }

  void kill_all() {
    for (const Rank& rank : ranks_)
      if (rank.running) kill(rank.pid, SIGKILL);
  }

  void show(Rank& rank) {
    if (!rank.output) return;
    const auto number = &rank - ranks_.data();
    rank.output->read([&](const std::string& line) {
      const std::string text = cat("[rank ", number, "] ", line, "\n");
      [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    });
  }

  LaunchResult result() const {
    if (!failed_) {
      const bool stopped =
          std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return WEXITSTATUS(r.status) != 0; });
      return {stopped ? kStoppedCode : 0, ""};
    }
    size_t cause = *failed_;
    std::string why = how_it_ended(ranks_[cause].status);
    if (!report_.empty() && !WIFSIGNALED(ranks_[cause].status)) {
      cause = static_cast<size_t>(std::atoi(report_.c_str()));
      why = cat("failed: ", report_.substr(report_.find(' ') + 1));
    }
    const Rank& rank = ranks_.at(cause);
    const int code = WIFEXITED(rank.status) && !ended_well(rank.status) ? WEXITSTATUS(rank.status) : 1;
    return {code,
            cat("rank ", cause, " (pid ", rank.pid, ") ", why, ranks_.size() > 1 ? "; all ranks have been ended" : "")};
  }

  const LaunchOptions& options_;
  sigset_t signals_, before_ = {};
  Fd signal_fd_;
  std::vector<int> cores_;
  std::string secret_;
  Fd meeting_;
  Pipe report_pipe_;
  std::optional<Lines> reports_;
  std::string report_;  // the first one
  std::vector<Rank> ranks_;
  std::optional<size_t> failed_;  // the first one, a killed one before those that only ended
  std::optional<Deadline> kill_at_;
  bool killed_ = false;
};

}  // namespace

LaunchResult launch(const LaunchOptions& options) { return Job(options).run(); }

}  // namespace trireme
