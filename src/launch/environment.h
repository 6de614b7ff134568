// What a launcher says in the environment of a process: which rank of how many it is and where rank 0 is to be met.
// Ours, torchrun, Open MPI and Slurm are understood; the first complete set of variables wins.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "comm/rendezvous.h"

namespace trireme {

/// The value of a variable, or null.
using GetEnv = std::function<const char*(const char* name)>;

struct Launched {
  WorldOptions world;
  std::string by;  // whose variables these are, for people: "RANK and WORLD_SIZE"
};

/// How this process was started as one of several; nothing where it is alone. ConfigError where variables contradict
/// each other, or where ranks of several hosts have no secret.
std::optional<Launched> read_environment(const GetEnv& get);
/// Of this process's own environment.
std::optional<Launched> read_environment();

/// Threads for a rank that is told nothing else: TRIREME_THREADS, else this machine's cores shared among the ranks of
/// this host.
int default_threads(const GetEnv& get, int local_world_size);

/// The first name of a Slurm node list: "gpu[07,09-12],login" gives "gpu07".
std::string first_host(const std::string& node_list);

}  // namespace trireme
