// What a recipe says about how a model is laid out and run. Numbers are sizes of mesh axes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace trireme {

struct ParallelConfig {
  int64_t data = 1;
  int64_t tensor = 1;
  int64_t pipeline = 1;
  int64_t virtual_pipeline = 1;  // pieces of the model on each pipeline rank, which take turns (interleaved 1F1B)
  int64_t context = 1;
  int64_t zero_stage = 0;          // 0 nothing sharded, 1 optimizer state, 2 gradients too, 3 parameters too
  bool sequence_parallel = false;  // norms and dropout split over the tokens inside a tensor-parallel group

  int64_t world_size() const { return data * tensor * pipeline * context; }
  bool operator==(const ParallelConfig&) const = default;
};

/// none: keep what backward needs. cheap: keep the matmul inputs that are dear to rebuild, make norm and activation
/// outputs again. block: keep a unit's input only and run its forward again. automatic: as little of it as a GPU's
/// memory allows; on a CPU none.
enum class Recompute : uint8_t { none, cheap, block, automatic };
constexpr std::array<std::string_view, 4> kRecomputeNames = {"none", "cheap", "block", "auto"};

/// What each block of a model does: the first `block` are run again, in the next `cheap` norms and activations are made
/// again, in the next `activation` these alone; the others keep all.
struct RecomputeSplit {
  int64_t block = 0, cheap = 0, activation = 0;

  bool operator==(const RecomputeSplit&) const = default;
};

struct MemoryConfig {
  Recompute recompute = Recompute::none;

  bool operator==(const MemoryConfig&) const = default;
};

}  // namespace trireme
