#include "tokenizer/spm_unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/numeric.h"

namespace trireme {
namespace {

constexpr uint32_t kNoPath = ~uint32_t{0};
constexpr float kUnknownPenalty = 10;
// Where sums have grown so far, the original starts anew from 0: floats of this size have few digits left for a tie.
constexpr float kResetScore = 100000;

}  // namespace

SpmUnigram::SpmUnigram(const SpmModel& model) : output_(model) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  float lowest = std::numeric_limits<float>::max();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    float score = piece.score;
    if (piece.type == SpmPiece::Type::normal) lowest = std::min(lowest, score);
    if (piece.type == SpmPiece::Type::user_defined) score = 0.1F * static_cast<float>(piece.text.size() - 1);
    scores_.push_back(score);
    if (piece.type != SpmPiece::Type::normal && piece.type != SpmPiece::Type::user_defined) continue;
    entries.emplace_back(piece.text, static_cast<int32_t>(id));
  }
  trie_ = ByteTrie(std::move(entries));
  unk_score_ = lowest - kUnknownPenalty;
}

void SpmUnigram::find_paths(std::string_view text, std::vector<Scratch::Best>& best) const {
  best.assign(text.size() + 1, {0, output_.unk_id(), kNoPath});
  size_t frontier = 0;  // the last position that a path has reached
  for (size_t begin = 0; begin < text.size();) {
    if (std::abs(best[begin].score) > kResetScore) {
      const float offset = best[begin].score;
      for (size_t i = begin; i <= frontier; ++i) {
        if (best[i].begin != kNoPath) best[i].score -= offset;
      }
    }
    const float here = best[begin].score;
    const auto offer = [&](size_t end, float score, int32_t id) {
      frontier = std::max(frontier, end);
      Scratch::Best& target = best[end];
      const float sum = score + here;
      if (target.begin == kNoPath || sum > target.score) target = {sum, id, static_cast<uint32_t>(begin)};
    };
    const size_t length = std::min(spm_char_length(text[begin]), text.size() - begin);
    bool single = false;
    uint32_t node = ByteTrie::kRoot;
    for (size_t i = begin; i < text.size(); ++i) {
      node = trie_.child(node, text[i]);
      if (node == ByteTrie::kRoot) break;
      const int32_t id = trie_.value(node);
      if (id == ByteTrie::kNoValue) continue;
      offer(i + 1, scores_[static_cast<size_t>(id)], id);
      single = single || i + 1 == begin + length;
    }
    if (!single) offer(begin + length, unk_score_, output_.unk_id());
    begin += length;
  }
}

void SpmUnigram::encode(std::vector<int32_t>& out, std::string_view text, Scratch& scratch) const {
  narrow<uint32_t>(text.size());
  find_paths(text, scratch.best);
  scratch.ends.clear();
  for (size_t end = text.size(); end > 0; end = scratch.best[end].begin) {
    scratch.ends.push_back(static_cast<uint32_t>(end));
  }
  const size_t first = out.size();
  for (auto end = scratch.ends.rbegin(); end != scratch.ends.rend(); ++end) {
    const Scratch::Best& piece = scratch.best[*end];
    output_.append(out, piece.id, text.substr(piece.begin, *end - piece.begin));
  }
  output_.join_unknown(out, first);
}

}  // namespace trireme
