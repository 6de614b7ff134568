// Which cores belong to which rank of a host.
#pragma once

#include <vector>

namespace trireme {

/// The cores this process may use, neighbours (hyper-threads of a core, cores of a socket) side by side.
std::vector<int> usable_cores();

/// The cores of rank `local_rank` of `num_ranks`: a run of the list, as long as the others'; empty where there are more
/// ranks than cores, and each may run anywhere.
std::vector<int> share_of_cores(const std::vector<int>& cores, int local_rank, int num_ranks);

}  // namespace trireme
