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

/// clamp(0, 0, most) + clamp(1, 0, most) + ... + clamp(end - 1, 0, most).
constexpr int64_t sum_of_clamped(int64_t end, int64_t most) {
  const int64_t rising = std::clamp<int64_t>(end, 0, most);
  return rising * (rising - 1) / 2 + std::max<int64_t>(end - most, 0) * most;
}

/// Query-key pairs of one head that take part: the sum of the lengths of visible_keys().
inline int64_t visible_pairs(const AttentionArgs& args) {
  int64_t pairs = 0;
  const auto before = [](const Segment& s, int64_t first) {  // clamp(first + i, 0, k_len) of all queries i
    return sum_of_clamped(first + s.q_len, s.k_len) - sum_of_clamped(first, s.k_len);
  };
  for (const Segment& s : args.segments) {
    const int64_t own = int64_t{s.q_pos} - s.k_pos + 1;  // keys up to the first query's own position
    pairs += args.causal || args.window > 0 ? before(s, own) : int64_t{s.q_len} * s.k_len;
    if (args.window > 0) pairs -= before(s, own - args.window);
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
