#include "launch/environment.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"

namespace trireme {
namespace {

using Variables = std::map<std::string, std::string>;

GetEnv getter(const Variables& variables) {
  return [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

/// "rank/size, local/size at ADDRESS:PORT", or "alone", or what is wrong.
std::string read(const Variables& variables) {
  try {
    const std::optional<Launched> launched = read_environment(getter(variables));
    if (!launched) return "alone";
    const RankPlace& p = launched->world.place;
    return cat(p.rank, "/", p.world_size, ", ", p.local_rank, "/", p.local_world_size, " at ", p.master_address, ":",
               p.master_port);
  } catch (const ConfigError& e) {
    return e.what();
  }
}

TEST(Environment, WithoutVariablesOrAsTheOnlyRankAProcessIsAlone) {
  EXPECT_EQ(read({}), "alone");
  EXPECT_EQ(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}), "alone");
}

TEST(Environment, VariablesOfTorchrunAreHonoured) {
  const Variables variables = {{"RANK", "5"},
                               {"WORLD_SIZE", "8"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "4"},
                               {"MASTER_ADDR", "node-0"},
                               {"MASTER_PORT", "1234"},
                               {"TRIREME_JOB_SECRET", "s"}};
  EXPECT_EQ(read(variables), "5/8, 1/4 at node-0:1234");
  Variables agent = variables;
  agent["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_EQ(read(agent), "5/8, 1/4 at node-0:1235");
}

TEST(Environment, OneHostFollowsFromALoopbackAddress) {
  EXPECT_EQ(read({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}}), "1/2, 1/2 at localhost:29500");
}

TEST(Environment, VariablesOfOpenMpiAndSlurmAreHonoured) {
  const std::string mpi = read({{"OMPI_COMM_WORLD_RANK", "1"},
                                {"OMPI_COMM_WORLD_SIZE", "2"},
                                {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_EQ(mpi, "1/2, 1/2 at 127.0.0.1:29500");
  Variables slurm = {{"SLURM_PROCID", "3"},  {"SLURM_STEP_NUM_TASKS", "4"},         {"SLURM_LOCALID", "1"},
                     {"SLURM_JOB_ID", "77"}, {"SLURM_STEP_NODELIST", "gpu[07-08]"}, {"TRIREME_JOB_SECRET", "s"}};
  EXPECT_EQ(read(slurm).substr(0, 16), "3/4, 1/1 at gpu0");
  EXPECT_EQ(read(slurm), read(slurm));
  slurm["SLURM_PTY_PORT"] = "1";
  EXPECT_EQ(read(slurm), "alone");
}

TEST(Environment, TheFirstHostOfANodeList) {
  EXPECT_EQ(first_host("n1"), "n1");
  EXPECT_EQ(first_host("n1,n2"), "n1");
  EXPECT_EQ(first_host("gpu[07,09-12],login"), "gpu07");
  EXPECT_EQ(first_host("gpu[12-14]"), "gpu12");
  EXPECT_THROW(first_host("gpu[12"), ConfigError);
}

TEST(Environment, ContradictionsAreRefused) {
  EXPECT_NE(read({{"RANK", "1"}}).find("only RANK is set"), std::string::npos);
  EXPECT_NE(read({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}}).find("RANK is 2"),
            std::string::npos);
  EXPECT_NE(read({{"RANK", "x"}, {"WORLD_SIZE", "2"}}).find("RANK is 'x'"), std::string::npos);
  EXPECT_NE(read({{"RANK", "0"}, {"WORLD_SIZE", "2"}}).find("MASTER_ADDR"), std::string::npos);
}

TEST(Environment, RanksOfSeveralHostsNeedASecret) {
  Variables variables = {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "node-0"}};
  EXPECT_NE(read(variables).find("TRIREME_JOB_SECRET_FILE"), std::string::npos);
  variables["TRIREME_INSECURE_RENDEZVOUS"] = "1";
  EXPECT_EQ(read(variables), "0/2, 0/1 at node-0:29500");
}

TEST(Environment, ThreadsAreSharedOutAmongTheRanksOfAHost) {
  EXPECT_EQ(default_threads(getter({{"TRIREME_THREADS", "3"}}), 4), 3);
  EXPECT_GE(default_threads(getter({}), 1), default_threads(getter({}), 2));
  EXPECT_EQ(default_threads(getter({}), 1 << 20), 1);
}

}  // namespace
}  // namespace trireme
