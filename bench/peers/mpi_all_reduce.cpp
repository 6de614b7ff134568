// All-reduce of a float32 buffer over the processes of mpirun: the work of `bench_comm all_reduce` for Open MPI. Rank 0
// answers "run K" on standard input with one JSON line of K times. No part of the build:
//   mpicxx -O2 -o mpi_all_reduce bench/peers/mpi_all_reduce.cpp
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

/// The number of rank 0, on all. Waits asleep: MPI's own waits would take a core from the programs whose turn it is.
static void share(int& number) {
  MPI_Request request;
  MPI_Ibcast(&number, 1, MPI_INT, 0, MPI_COMM_WORLD, &request);
  for (int done = 0; MPI_Test(&request, &done, MPI_STATUS_IGNORE), done == 0;) usleep(200);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const int count = std::atoi(argv[1]) / 4, calls = std::atoi(argv[2]);
  std::vector<float> buffer(static_cast<size_t>(count));
  const auto step = [&] {
    MPI_Barrier(MPI_COMM_WORLD);
    const double begin = MPI_Wtime();
    for (int c = 0; c < calls; ++c)
      MPI_Allreduce(MPI_IN_PLACE, buffer.data(), count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    return 1e3 * (MPI_Wtime() - begin);
  };
  step();
  step();
  char facts[100];
  std::snprintf(facts, sizeof facts, "\"program\":\"open-mpi\",\"version\":\"%d.%d.%d\"", OMPI_MAJOR_VERSION,
                OMPI_MINOR_VERSION, OMPI_RELEASE_VERSION);
  if (rank == 0) std::printf("{\"ready\":true,%s}\n", facts), std::fflush(stdout);
  for (;;) {
    int runs = 0;
    if (rank == 0 && std::scanf(" run %d", &runs) != 1) runs = 0;
    share(runs);
    if (runs == 0) break;
    if (rank == 0) std::printf("{\"ms\":[");
    for (int i = 0; i < runs; ++i) {
      const double ms = step();
      if (rank == 0) std::printf("%s%.6f", i == 0 ? "" : ",", ms);
    }
    if (rank == 0) std::printf("],%s}\n", facts), std::fflush(stdout);
  }
  MPI_Finalize();
  return 0;
}
