// A peer program that waits on standard input: "run K" is answered by one JSON line with K times, so that two programs
// can be measured in turns within one run.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace trireme {

class Peer {
 public:
  /// Starts `words` and waits until it says that it is ready. IoError where it does not.
  explicit Peer(const std::vector<std::string>& words);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Times of `count` steps in milliseconds.
  std::vector<double> run(int count);
  /// What it said of itself: program, version, mode, ...
  const Json& facts() const { return facts_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  Json read_line();

  std::string name_;
  int pid_ = -1;
  std::unique_ptr<std::FILE, Close> to_, from_;
  Json facts_;
};

}  // namespace trireme
