// Which keys a query sees: the one definition for all backends.
#pragma once

#include <algorithm>
#include <span>

#include "ops/attention.h"

namespace trireme {

struct Range {
  int64_t begin = 0, end = 0;
  constexpr bool empty() const { return begin >= end; }
};

/// The keys that query i of the segment sees. Both ends never decrease with i. A window ends at the query's own
/// position, causal or not.
constexpr Range visible_keys(const Segment& s, bool causal, int64_t window, int64_t i) {
  const int64_t last = int64_t{s.q_pos} + i - s.k_pos;  // index of the key at the query's own position
  const bool bounded = causal || window > 0;
  const int64_t end = bounded ? std::clamp<int64_t>(last + 1, 0, s.k_len) : s.k_len;
  const int64_t begin = window > 0 ? std::clamp<int64_t>(last + 1 - window, 0, end) : 0;
  return {begin, end};
}
inline Range visible_keys(const Segment& s, const AttentionArgs& args, int64_t i) {
  return visible_keys(s, args.causal, args.window, i);
}

/// Query-key pairs of one head that take part.
inline int64_t visible_pairs(const AttentionArgs& args) {
  int64_t pairs = 0;
  for (const Segment& s : args.segments)
    for (int64_t i = 0; i < s.q_len; ++i) {
      const Range keys = visible_keys(s, args, i);
      pairs += keys.end - keys.begin;
    }
  return pairs;
}

/// Whether the segments follow each other without a gap from 0 to `rows`.
inline bool segments_cover(std::span<const Segment> segments, int64_t rows, int32_t Segment::*begin,
                           int32_t Segment::*len) {
  int64_t at = 0;
  for (const Segment& s : segments) {
    if (s.*begin != at) return false;
    at += s.*len;
  }
  return at == rows;
}

}  // namespace trireme
