// Starts a program several times on this machine as the ranks of one job, and stays until the last has ended: passes
// signals on, shows what the ranks print, ends all when one fails and says which. No rank outlives it, even killed.
#pragma once

#include <string>
#include <vector>

namespace trireme {

struct LaunchOptions {
  int num_processes = 1;
  int master_port = 0;             // where the ranks meet; 0: a free one
  std::vector<std::string> words;  // of the ranks' command line, behind the program's name
};

struct LaunchResult {
  int code = 0;         // 0: all ranks returned 0; 3: all were stopped by a signal and saved; else the failed rank's
  std::string failure;  // which rank failed, and why; empty where none did
};

/// Runs this very program with options.words in options.num_processes processes with RANK, LOCAL_RANK, WORLD_SIZE,
/// LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT and the job's secret in their environment. The cores are shared out.
/// Rank 0 has this process's standard output and error; the lines of the others are shown with "[rank N]". SIGTERM,
/// SIGINT and SIGHUP are passed on. Must be called from a process with one thread.
LaunchResult launch(const LaunchOptions& options);

}  // namespace trireme
