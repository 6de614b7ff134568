// The search of a unigram model (Kudo 2018): of all ways to cut a text into pieces the one with the highest sum of
// scores, found from left to right in time linear in the text. Sums are added in `Score` from the begin of the text,
// and only a better path replaces one found before: so rounding and ties fall as in the originals, which differ in the
// type of their sums.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/numeric.h"
#include "tokenizer/byte_trie.h"

namespace trireme {

template <class Score>
class UnigramPaths {
 public:
  struct Best {
    Score score;
    int32_t id;
    uint32_t begin;  // of the last piece on the best path to here
  };
  struct Scratch {
    std::vector<Best> best;  // by position
    std::vector<uint32_t> ends;
  };

  /// `scores` by id, of those in `pieces` (see ByteTrie) and perhaps more. A character that is no piece becomes
  /// `unk_id` at `unk_score`. Where sums have grown to `reset`, they start anew from 0.
  UnigramPaths(std::vector<std::pair<std::string_view, int32_t>> pieces, std::vector<Score> scores, int32_t unk_id,
               Score unk_score, Score reset)
      : trie_(std::move(pieces)), scores_(std::move(scores)), unk_id_(unk_id), unk_score_(unk_score), reset_(reset) {}

  const ByteTrie& trie() const { return trie_; }

  /// Calls on_piece(begin, end, id) for the pieces of `text` (shorter than 4 GiB) from left to right. char_length(i)
  /// are the bytes of the character at i, which may reach beyond the text.
  template <class CharLength, class OnPiece>
  void cut(std::string_view text, Scratch& scratch, CharLength char_length, OnPiece on_piece) const {
    narrow<uint32_t>(text.size());
    find(text, scratch.best, char_length);
    scratch.ends.clear();
    for (size_t end = text.size(); end > 0; end = scratch.best[end].begin) {
      scratch.ends.push_back(static_cast<uint32_t>(end));
    }
    for (auto end = scratch.ends.rbegin(); end != scratch.ends.rend(); ++end) {
      on_piece(scratch.best[*end].begin, *end, scratch.best[*end].id);
    }
  }

 private:
  static constexpr uint32_t kNoPath = ~uint32_t{0};

  template <class CharLength>
  void find(std::string_view text, std::vector<Best>& best, CharLength char_length) const {
    best.assign(text.size() + 1, {0, unk_id_, kNoPath});
    size_t frontier = 0;  // the last position that a path has reached
    for (size_t begin = 0; begin < text.size();) {
      if (std::abs(best[begin].score) > reset_) {
        const Score offset = best[begin].score;
        for (size_t i = begin; i <= frontier; ++i) {
          if (best[i].begin != kNoPath) best[i].score -= offset;
        }
      }
      const Score here = best[begin].score;
      const auto offer = [&](size_t end, Score score, int32_t id) {
        frontier = std::max(frontier, end);
        Best& target = best[end];
        const Score sum = score + here;
        if (target.begin == kNoPath || sum > target.score) target = {sum, id, static_cast<uint32_t>(begin)};
      };
      const size_t length = std::min<size_t>(char_length(begin), text.size() - begin);
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
      if (!single) offer(begin + length, unk_score_, unk_id_);
      begin += length;
    }
  }

  ByteTrie trie_;
  std::vector<Score> scores_;
  int32_t unk_id_;
  Score unk_score_, reset_;
};

}  // namespace trireme
