#include "comm/mesh.h"

#include <algorithm>

namespace trireme {
namespace {
constexpr std::initializer_list<Axis> kAxes = {Axis::pipeline, Axis::data, Axis::context, Axis::tensor};
}

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

std::vector<int> Mesh::peers(std::initializer_list<Axis> axes, int rank) const {
  std::vector<int> ranks;
  for (int other = 0; other < world_size(); ++other) {
    bool same = true;
    for (const Axis a : kAxes)
      same =
          same && (std::find(axes.begin(), axes.end(), a) != axes.end() || coordinate(a, other) == coordinate(a, rank));
    if (same) ranks.push_back(other);
  }
  return ranks;
}

Groups make_groups(const Mesh& mesh, int rank,
                   const std::function<Group*(const std::vector<int>& ranks, Channel channel)>& make) {
  const auto along = [&](std::initializer_list<Axis> axes, Channel channel = Channel::step) {
    return make(mesh.peers(axes, rank), channel);
  };
  Groups groups;
  groups.world = along(kAxes);
  groups.tp = along({Axis::tensor});
  groups.pp = along({Axis::pipeline});
  groups.pp_back = along({Axis::pipeline}, Channel::back);
  groups.dp = along({Axis::data});
  groups.cp = along({Axis::context});
  groups.dp_cp = along({Axis::data, Axis::context});
  groups.io = along(kAxes, Channel::io);
  groups.fetch = along({Axis::data, Axis::context}, Channel::fetch);
  return groups;
}

}  // namespace trireme
