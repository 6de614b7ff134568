#include "launch/cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <tuple>

#include "base/error.h"
#include "base/numeric.h"

namespace trireme {
namespace {

/// A number that the kernel says about a core; 0 where it says none.
int topology(int core, const char* what) {
  std::ifstream file(cat("/sys/devices/system/cpu/cpu", core, "/topology/", what));
  int value = 0;
  return file >> value ? value : 0;
}

}  // namespace

std::vector<int> usable_cores() {
  std::vector<std::tuple<int, int, int>> found;  // package, core, number
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int c = 0; c < CPU_SETSIZE; ++c)
      if (CPU_ISSET(static_cast<size_t>(c), &set))
        found.emplace_back(topology(c, "physical_package_id"), topology(c, "core_id"), c);
  std::sort(found.begin(), found.end());
  std::vector<int> cores;
  for (const auto& place : found) cores.push_back(std::get<2>(place));
  return cores;
}

std::vector<int> share_of_cores(const std::vector<int>& cores, int local_rank, int num_ranks) {
  const auto count = static_cast<int64_t>(cores.size());
  if (count < num_ranks) return {};
  return {cores.begin() + part_begin(count, num_ranks, local_rank),
          cores.begin() + part_begin(count, num_ranks, local_rank + 1)};
}

}  // namespace trireme
