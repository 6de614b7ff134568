#include "peer.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {

Peer::Peer(const std::vector<std::string>& words) : name_(words.at(0)) {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw IoError("cannot make a pipe");
  pid_ = fork();
  if (pid_ < 0) throw IoError("cannot start another process");
  if (pid_ == 0) {
    dup2(to[0], STDIN_FILENO);
    dup2(from[1], STDOUT_FILENO);
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  to_.reset(fdopen(to[1], "w"));
  from_.reset(fdopen(from[0], "r"));
  facts_ = read_line();
}

Peer::~Peer() {
  to_.reset();
  from_.reset();
  waitpid(pid_, nullptr, 0);
}

Json Peer::read_line() {
  std::string line;
  for (int c = std::fgetc(from_.get()); c != '\n'; c = std::fgetc(from_.get())) {
    if (c == EOF) throw IoError(cat(name_, " ended without an answer: '", line, "'"));
    line += static_cast<char>(c);
  }
  // Libraries print warnings between the answers.
  return starts_with(line, "{") ? Json::parse(line, name_) : read_line();
}

std::vector<double> Peer::run(int count) {
  std::fprintf(to_.get(), "run %d\n", count);
  std::fflush(to_.get());
  std::vector<double> times;
  const Json answer = read_line();
  for (const Json& ms : answer.at("ms").items()) times.push_back(ms.as_real());
  return times;
}

}  // namespace trireme
