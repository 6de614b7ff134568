// The one table that says everything about a parameter. Initialisation, tensor parallelism, ZeRO,
// weight decay, clipping, checkpoints and freezing are all derived from it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace trireme {

enum class Init : uint8_t { zeros, ones, normal };

/// How tensor parallelism cuts a parameter: along `dim`, each of `chunks` on its own (a fused q, k, v has three chunks,
/// so that every rank gets its share of each). A chunk is `pieces` equal runs (its heads, say), dealt to the ranks by
/// deal_pieces. dim < 0: every rank holds the whole.
struct Split {
  int dim = -1;
  std::vector<int64_t> chunks;  // sizes along dim, summing to the global size
  int64_t pieces = 0;           // 0: every row or column is one
  // Where ranks outnumber pieces: into how many equal runs a piece of each chunk is cut for the ranks that share it; 1:
  // they hold all of it. Empty: pieces are not shared, and some ranks have none.
  std::vector<int64_t> parts;
};

/// What a rank gets of `pieces` that belong together with other things: [begin, end). Where there are fewer than ranks,
/// one piece, at `place` among the `sharers` ranks that have it.
struct DealtPieces {
  int64_t begin = 0, end = 0, place = 0, sharers = 1;
};
DealtPieces deal_pieces(int64_t pieces, int64_t ranks, int64_t rank);

struct ParamSpec {
  std::string name;  // ours, unique: "blocks.3.attn.qkv.weight"
  Shape shape;       // global, logical, unpadded; rank 1 or 2
  Init init = Init::normal;
  float init_std = 0.02F;  // of Init::normal
  Split split;
  bool decay = false;  // weight decay applies (matrices)
  bool trainable = true;
  bool grad_is_product = false;  // its layer begins the gradient with a product, which may write what others add
  bool measured = false;         // its largest magnitude is kept, for products that take it as 8-bit floats
  bool grad_sum_tp = false;      // held whole by every tensor rank, each of which sees only part of its gradient
  std::string tied_to;           // another parameter's name whose values this one shares (the head and the embedding)
  int unit = 0;                  // index of the owning unit in the model's list
};

/// A box of a global parameter: rows [row, row + rows) x columns [col, col + cols). A rank-1 parameter of n elements
/// counts as n rows of one column.
struct Box {
  int64_t row = 0, rows = 0, col = 0, cols = 0;
};

/// Elements [begin, end) of a flat run: of a parameter's local ones, or of a unit.
struct FlatRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// Rows that several tensor ranks hold, each of which sees only part of their gradient.
struct SharedRows {
  int64_t local_row = 0;                // the first of them here
  int64_t begin = 0, rows = 0, of = 0;  // they are [begin, begin + rows) of a chunk of so many
};

/// One parameter of this rank's model. A store binds `value` and `grad`; they are valid between acquire and release.
struct Param {
  ParamSpec spec;
  Shape local_shape;               // what this tensor-parallel rank holds
  std::vector<Box> local_boxes;    // where its rows (or columns) lie in the global parameter, in local order
  std::vector<SharedRows> shared;  // what of it other tensor ranks hold too, though not all of them
  // Local elements for which this rank stands among the tensor ranks, where each element is to be taken once: in a
  // norm, in a checkpoint. What several ranks hold is the first one's; a tied parameter is its owner's.
  std::vector<FlatRange> own;
  Tensor value;  // local_shape, storage dtype
  Tensor grad;   // local_shape, f32 or, of a product, the store's; undefined where not trainable or not training
  bool grad_begun = true;    // false: `grad` holds nothing yet, what comes first is to be written
  Tensor largest;            // (1) f32: the largest magnitude in `value`, where the spec wants it and a store keeps it
  bool is_measured = false;  // false: that is not there yet

  /// Whether the product at hand is to be added to `grad`, of which there is something from then on.
  bool adds_to_grad() { return std::exchange(grad_begun, true); }
  /// Whether `largest` is there; who asks puts it there where it is not.
  bool has_largest() { return std::exchange(is_measured, true); }
};

/// All parameters of one rank's model in order of declaration; references stay valid.
using ParamTable = std::deque<Param>;

/// Where layers declare their parameters. Prefixes nest: scoped("attn") makes names "blocks.0.attn.*".
class ParamBuilder {
 public:
  /// `tp_rank` of `tp_size`: this rank's place on the tensor-parallel axis.
  ParamBuilder(ParamTable& table, int tp_rank = 0, int tp_size = 1)
      : table_(table), tp_rank_(tp_rank), tp_size_(tp_size) {}

  ParamBuilder scoped(const std::string& name) const;
  ParamBuilder for_unit(int unit) const;
  /// Adds a parameter; spec.name is relative to the prefix. Bug where the name exists.
  Param& add(ParamSpec spec) const;

  int tp_rank() const { return tp_rank_; }
  int tp_size() const { return tp_size_; }

 private:
  ParamTable& table_;
  int tp_rank_, tp_size_;
  std::string prefix_;
  int unit_ = 0;
};

/// The parameter whose memory `param` uses: itself, or the one it is tied to.
const Param& tie_owner(const ParamTable& table, const Param& param);

/// The boxes of `shape` that part `rank` of `size` holds under `split`, in local order, and the local shape.
std::vector<Box> local_boxes(const Shape& shape, const Split& split, int rank, int size);
Shape local_shape(const Shape& shape, const Split& split, int rank, int size);

}  // namespace trireme
