// Ranks on a grid: pipeline x data x context x tensor, tensor fastest, so that tensor ranks sit closest together.
#pragma once

#include <functional>
#include <initializer_list>
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
  /// The world ranks that share with `rank` the coordinates on all axes but these, in world order.
  std::vector<int> peers(std::initializer_list<Axis> axes, int rank) const;
  std::vector<int> peers(Axis axis, int rank) const { return peers({axis}, rank); }
};

/// A rank's groups. Not owned.
struct Groups {
  Group* world = nullptr;
  Group* tp = nullptr;
  Group* pp = nullptr;
  Group* pp_back = nullptr;  // pp again, for gradients: between two ranks both directions of a pipeline would mix
  Group* dp = nullptr;
  Group* cp = nullptr;
  Group* dp_cp = nullptr;  // data x context: the ranks that hold the same parameters and see other tokens
  Group* io = nullptr;     // world again, for work with files: also by the thread that writes while training goes on
  Group* fetch = nullptr;  // dp_cp again, for the thread that gathers parameters while a step computes

  /// One process: every group is this group of one.
  static Groups alone(Group& one) { return {&one, &one, &one, &one, &one, &one, &one, &one, &one}; }
};

/// What may be under way between the same ranks at the same time, and so needs channels of its own.
enum class Channel : uint8_t { step, back, io, fetch };

/// The groups of `rank`; `make` returns its handle on the group of these world ranks.
Groups make_groups(const Mesh& mesh, int rank,
                   const std::function<Group*(const std::vector<int>& ranks, Channel channel)>& make);

}  // namespace trireme
