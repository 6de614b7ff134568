// How the processes of a job find each other: rank 0 listens at MASTER_ADDR:MASTER_PORT, every other rank comes, both
// prove the job's secret, and when all are there each gets the roster. The connections stay: a rank that ends without
// a farewell is dead, and rank 0 tells the others (process_world.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/sockets.h"

namespace trireme {

/// A process's place in its job, as a launcher says.
struct RankPlace {
  int rank = 0, world_size = 1;
  int local_rank = 0, local_world_size = 1;  // on this host
  std::string master_address = "127.0.0.1";  // of rank 0
  int master_port = 29500;
};

struct WorldOptions {
  RankPlace place;
  std::string secret;            // of the job, known to its ranks only; needed where ranks are on several hosts
  double timeout_seconds = 300;  // until all ranks must have come
  double wait_seconds = 0;       // after which a wait for another rank is an error; 0: never
  int listener_fd = -1;          // rank 0: a socket that listens at the master port already; -1: none
  std::string host;              // who may share memory: ranks of equal names; empty: this machine's identity
};

/// What a rank tells the others. Sent as it lies in memory: all ranks must be the same build.
struct Card {
  int32_t rank = 0, world_size = 0;
  int32_t pid = 0;
  int32_t memory_fd = -1;   // of its shared memory, in its process
  int32_t port = 0;         // where it listens for ranks of other hosts
  char host[80] = {};       // identity: ranks that are equal here see each other's memory and processes
  char host_name[64] = {};  // for people
  char address[64] = {};    // numeric, as rank 0 sees it

  /// "rank 2 (pid 4711 on node-3)".
  std::string str() const;
};

struct Roster {
  std::vector<Card> cards;  // by rank
  std::vector<Fd> control;  // rank 0: to each rank (its own empty); others: one, to rank 0
  Fd listener;              // for ranks of other hosts
};

/// Who may see this process's memory file: the boot of the machine and the process's namespace.
std::string host_identity();

/// Brings all ranks together. IoError that names the ranks that are missing, or the address that does not answer.
Roster rendezvous(const WorldOptions& options, Card mine);

/// A connection with `peer` for data. The rank of higher number connects; both prove the secret.
Fd connect_peer(const WorldOptions& options, const Card& mine, const Card& peer, Deadline deadline);
/// Takes one such connection and says whose it is; an empty Fd where a stranger came or nobody until the deadline.
Fd accept_peer(const WorldOptions& options, const Fd& listener, int& rank, Deadline deadline);

}  // namespace trireme
