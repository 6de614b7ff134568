// What a recipe says about checkpoints.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

struct CheckpointConfig {
  int64_t every = 500;          // steps between checkpoints; the last step always has one; 0: only that
  bool background = false;      // copy the state and write it while training goes on
  int64_t keep_last = 2;        // newest checkpoints that stay; 0: all
  std::string resume = "auto";  // auto: from the newest good one in the run folder; none: refuse a folder that has
                                // any; else the path of a checkpoint to start from

  bool operator==(const CheckpointConfig&) const = default;
};

}  // namespace trireme
