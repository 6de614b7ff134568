// Ranks on a grid: pipeline x data x context x tensor, tensor fastest, so that tensor ranks sit closest together.
#pragma once

#include <vector>

#include "comm/group.h"

namespace trireme {

enum class Axis : uint8_t { pipeline, data, context, tensor };

struct Mesh {
  int pp = 1, dp = 1, cp = 1, tp = 1;

  int world_size() const { return pp * dp * cp * tp; }
  int size(Axis axis) const;
  /// This rank's place on an axis.
  int coordinate(Axis axis, int rank) const;
  /// The world ranks that share all other coordinates with `rank`, in the order of `axis`.
  std::vector<int> peers(Axis axis, int rank) const;
};

/// A rank's groups, one an axis, and the world. Not owned.
struct Groups {
  Group* world = nullptr;
  Group* tp = nullptr;
  Group* pp = nullptr;
  Group* dp = nullptr;
};

}  // namespace trireme
