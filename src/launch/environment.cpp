#include "launch/environment.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "base/thread_pool.h"

namespace trireme {
namespace {

constexpr int64_t kMaxRanks = 1 << 20;
constexpr int kDefaultPort = 29500;  // PyTorch's

/// One launcher's names for the same things.
struct Dialect {
  const char *rank, *world_size, *local_rank, *local_world_size, *job;
};

constexpr Dialect kOwn = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", ""};
constexpr Dialect kOpenMpi = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                              "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE"};
constexpr Dialect kSlurm = {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "", "SLURM_JOB_ID"};

std::string text(const GetEnv& get, const char* name) {
  const char* value = *name == '\0' ? nullptr : get(name);
  return value == nullptr ? "" : value;
}

int number_in(const GetEnv& get, const char* name, int64_t low, int64_t high, int64_t missing) {
  const std::string value = text(get, name);
  int64_t number = missing;
  if (!value.empty() && (!parse_integer(value, number) || number < low || number > high))
    throw ConfigError(cat("the environment variable ", name, " is '", value, "', expected ", low, " to ", high));
  return static_cast<int>(number);
}

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || starts_with(address, "127.");
}

/// A port that all processes of a job find without asking each other.
int port_of_job(const std::string& job) {
  return job.empty() ? kDefaultPort
                     : 10000 + static_cast<int>(hash64(std::as_bytes(std::span(job.data(), job.size()))) % 20000);
}

void read_master(RankPlace& place, const GetEnv& get, const Dialect& dialect) {
  place.master_address = text(get, "MASTER_ADDR");
  place.master_port = number_in(get, "MASTER_PORT", 1, 65535, port_of_job(text(get, dialect.job)));
  // Under torchrun its agent may own MASTER_PORT.
  if (text(get, "TORCHELASTIC_USE_AGENT_STORE") == "True") ++place.master_port;
  if (!place.master_address.empty()) return;
  const std::string nodes = text(get, "SLURM_STEP_NODELIST");
  if (dialect.rank == kSlurm.rank && !nodes.empty())
    place.master_address = first_host(nodes);
  else if (place.local_world_size == place.world_size)
    place.master_address = "127.0.0.1";
  else
    throw ConfigError(cat(dialect.rank, " and ", dialect.world_size, " are set, but MASTER_ADDR is not: set it to the ",
                          "address of rank 0's host"));
}

RankPlace read_place(const GetEnv& get, const Dialect& dialect) {
  RankPlace place;
  place.world_size = number_in(get, dialect.world_size, 1, kMaxRanks, 1);
  place.rank = number_in(get, dialect.rank, 0, kMaxRanks, 0);
  if (place.rank >= place.world_size)
    throw ConfigError(cat(dialect.rank, " is ", place.rank, ", expected less than ", dialect.world_size, ", which is ",
                          place.world_size));
  const std::string address = text(get, "MASTER_ADDR");
  const std::string nodes = text(get, "SLURM_STEP_NODELIST");
  const bool one_host = is_loopback(address) || (dialect.rank == kSlurm.rank && !nodes.empty() &&
                                                 nodes.find_first_of(",[") == std::string::npos);
  place.local_world_size =
      number_in(get, dialect.local_world_size, 1, place.world_size, one_host ? place.world_size : 1);
  place.local_rank = number_in(get, dialect.local_rank, 0, kMaxRanks, one_host ? place.rank : 0);
  read_master(place, get, dialect);
  return place;
}

std::string read_secret(const RankPlace& place, const GetEnv& get) {
  const std::string secret = text(get, "TRIREME_JOB_SECRET"), file = text(get, "TRIREME_JOB_SECRET_FILE");
  if (!secret.empty()) return secret;
  if (!file.empty()) return std::string(trim(read_file(file, 4096)));
  if (place.local_world_size == place.world_size || text(get, "TRIREME_INSECURE_RENDEZVOUS") == "1") return "";
  throw ConfigError(
      "ranks of several hosts need a secret, or anyone in the network could join the job: put the same random text "
      "into TRIREME_JOB_SECRET_FILE on each host (a file only you can read), or set TRIREME_INSECURE_RENDEZVOUS=1 in a "
      "network of your own");
}

const Dialect* find_dialect(const GetEnv& get) {
  const auto has = [&](const char* name) { return get(name) != nullptr; };
  if (has(kOwn.rank) != has(kOwn.world_size))
    throw ConfigError(cat("of the environment variables RANK and WORLD_SIZE only ",
                          has(kOwn.rank) ? kOwn.rank : kOwn.world_size, " is set; a launcher sets both"));
  if (has(kOwn.rank)) return &kOwn;
  if (has(kOpenMpi.rank) && has(kOpenMpi.world_size)) return &kOpenMpi;
  // In `srun --pty` the variables are those of a shell, of which there is one.
  if (has(kSlurm.rank) && has(kSlurm.world_size) && !has("SLURM_PTY_PORT")) return &kSlurm;
  return nullptr;
}

}  // namespace

std::string first_host(const std::string& node_list) {
  const size_t end = node_list.find_first_of(",[");
  std::string host = node_list.substr(0, end);
  if (end == std::string::npos || node_list[end] == ',') return host;
  const size_t number_end = node_list.find_first_of(",-]", end + 1);
  if (number_end == std::string::npos) throw ConfigError(cat("SLURM_STEP_NODELIST: '", node_list, "' has no ']'"));
  return host + node_list.substr(end + 1, number_end - end - 1);
}

std::optional<Launched> read_environment(const GetEnv& get) {
  const Dialect* dialect = find_dialect(get);
  if (dialect == nullptr) return std::nullopt;
  Launched launched;
  launched.world.place = read_place(get, *dialect);
  if (launched.world.place.world_size == 1) return std::nullopt;
  launched.world.secret = read_secret(launched.world.place, get);
  launched.world.timeout_seconds =
      number_in(get, "TRIREME_RENDEZVOUS_TIMEOUT", 1, 86400, static_cast<int64_t>(launched.world.timeout_seconds));
  launched.world.wait_seconds = number_in(get, "TRIREME_WAIT_TIMEOUT", 0, 1 << 30, 0);
  if (launched.world.place.rank == 0) launched.world.listener_fd = number_in(get, "TRIREME_LISTEN_FD", 0, 1 << 20, -1);
  launched.by = cat(dialect->rank, " and ", dialect->world_size);
  return launched;
}

std::optional<Launched> read_environment() {
  return read_environment([](const char* name) { return std::getenv(name); });
}

int default_threads(const GetEnv& get, int local_world_size) {
  const int told = number_in(get, "TRIREME_THREADS", 1, 1024, 0);
  return told > 0 ? told : std::max(1, available_cores() / local_world_size);
}

}  // namespace trireme
