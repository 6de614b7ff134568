#include "tokenizer/spm_unigram.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace trireme {
namespace {

constexpr float kUnknownPenalty = 10;
// Where sums have grown so far, the original starts anew from 0: floats of this size have few digits left for a tie.
constexpr float kResetScore = 100000;

}  // namespace

UnigramPaths<float> SpmUnigram::make_paths(const SpmModel& model) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  std::vector<float> scores;
  float lowest = std::numeric_limits<float>::max();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    float score = piece.score;
    if (piece.type == SpmPiece::Type::normal) lowest = std::min(lowest, score);
    if (piece.type == SpmPiece::Type::user_defined) score = 0.1F * static_cast<float>(piece.text.size() - 1);
    scores.push_back(score);
    if (piece.type != SpmPiece::Type::normal && piece.type != SpmPiece::Type::user_defined) continue;
    entries.emplace_back(piece.text, static_cast<int32_t>(id));
  }
  return {std::move(entries), std::move(scores), model.unk_id, lowest - kUnknownPenalty, kResetScore};
}

void SpmUnigram::encode(std::vector<int32_t>& out, std::string_view text, Scratch& scratch) const {
  const size_t first = out.size();
  paths_.cut(
      text, scratch, [&](size_t i) { return spm_char_length(text[i]); },
      [&](size_t begin, size_t end, int32_t id) { output_.append(out, id, text.substr(begin, end - begin)); });
  output_.join_unknown(out, first);
}

}  // namespace trireme
