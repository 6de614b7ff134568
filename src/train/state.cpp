#include "train/state.h"

#include <algorithm>

#include "base/failpoint.h"

namespace trireme {
namespace {

/// The weights in `range_of(unit)` of every unit, a sub-range of its optimizer range, cut by `for_each`.
template <class ForEach, class RangeOf>
std::vector<StatePiece> weights_in(const ModelLayout& layout, const ParamStore& params, ForEach for_each,
                                   RangeOf range_of) {
  std::vector<StatePiece> pieces;
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int unit = static_cast<int>(u);
    const int64_t first = layout.optimizer_range(unit).begin;
    const Tensor values = params.optimizer_view(unit);
    for_each(layout.units[u], range_of(unit), [&](Param& param, int64_t begin, int64_t flat, int64_t n) {
      pieces.push_back({&param, "", begin, values.slice(0, flat - first, flat - first + n)});
    });
  }
  return pieces;
}

std::vector<StatePiece> optimizer_pieces(const AdamW& optimizer, const ParamStore& params) {
  std::vector<StatePiece> pieces;
  for (const AdamW::Piece& p : optimizer.pieces(params))
    pieces.push_back({p.param, p.kind, p.param_begin, p.state.values, p.state.code, p.state.companion});
  return pieces;
}

/// What of a piece lies in the elements that `owned` has of its parameter.
void add_shared(std::vector<StatePiece>& out, const StatePiece& piece, const StatePiece& owned) {
  const int64_t begin = std::max(piece.begin, owned.begin);
  const int64_t end = std::min(piece.begin + piece.values.numel(), owned.begin + owned.values.numel());
  if (begin >= end) return;
  StatePiece part = piece;
  part.begin = begin;
  part.values = piece.values.slice(0, begin - piece.begin, end - piece.begin);
  part.in_run = begin - piece.begin;
  if (piece.code == StateCode::joined)
    part.companion = piece.companion.slice(0, begin - piece.begin, end - piece.begin);
  out.push_back(part);
}

}  // namespace

RankState rank_state(const ModelLayout& layout, const ParamStore& params, const AdamW& optimizer) {
  RankState state;
  // Ranks with the same parameters share them out by their ZeRO parts, also where nothing is sharded.
  state.weights = weights_in(layout, params, for_each_own_piece, [&](int unit) { return layout.shard(unit); });
  for (const StatePiece& piece : optimizer_pieces(optimizer, params))
    for (const StatePiece& owned : state.weights)
      if (owned.param == piece.param) add_shared(state.optimizer, piece, owned);
  return state;
}

RankState engine_state(Engine& engine) {
  RankState state = rank_state(engine.layout(), engine.param_store(), engine.optimizer());
  state.model = &engine.config().model;
  state.params = &engine.params();
  state.weight_dtype = engine.config().precision.param_dtype;
  return state;
}

void restore_state(Engine& engine, const Checkpoint& checkpoint) {
  do_together(*engine.groups().io, [&] {
    read_weights(checkpoint, engine.config().model, engine.params(),
                 weights_in(engine.layout(), engine.param_store(), for_each_piece,
                            [&](int unit) { return engine.layout().optimizer_range(unit); }));
  });
  engine.weights_changed();
  failpoint("restore.weights");
  do_together(*engine.groups().io,
              [&] { read_optimizer(checkpoint, optimizer_pieces(engine.optimizer(), engine.param_store())); });
  engine.param_store().updated();
}

}  // namespace trireme
