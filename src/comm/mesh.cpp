#include "comm/mesh.h"

namespace trireme {

int Mesh::size(Axis axis) const {
  switch (axis) {
    case Axis::pipeline: return pp;
    case Axis::data: return dp;
    case Axis::context: return cp;
    case Axis::tensor: return tp;
  }
  return 1;
}

int Mesh::coordinate(Axis axis, int rank) const {
  switch (axis) {
    case Axis::pipeline: return rank / (tp * cp * dp);
    case Axis::data: return rank / (tp * cp) % dp;
    case Axis::context: return rank / tp % cp;
    case Axis::tensor: return rank % tp;
  }
  return 0;
}

std::vector<int> Mesh::peers(Axis axis, int rank) const {
  std::vector<int> ranks;
  for (int other = 0; other < world_size(); ++other) {
    bool same = true;
    for (const Axis a : {Axis::pipeline, Axis::data, Axis::context, Axis::tensor})
      same = same && (a == axis || coordinate(a, other) == coordinate(a, rank));
    if (same) ranks.push_back(other);
  }
  return ranks;
}

}  // namespace trireme
