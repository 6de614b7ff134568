#include "tokenizer/byte_trie.h"

#include <algorithm>
#include <deque>

#include "base/error.h"
#include "base/numeric.h"

namespace trireme {

/// Places nodes breadth first, each with all its children at once.
class ByteTrie::Builder {
 public:
  using Entries = std::vector<std::pair<std::string_view, int32_t>>;

  Builder(std::vector<Cell>& cells, const Entries& entries) : cells_(cells), entries_(entries) {}

  void build() {
    cells_.clear();
    add_block();
    take(kRoot, kRoot);
    todo_.push_back({kRoot, 0, entries_.size(), 0});
    while (!todo_.empty()) {
      place(todo_.front());
      todo_.pop_front();
    }
  }

 private:
  /// Entries [begin, end) share their first `depth` bytes, which lead to `node`.
  struct Range {
    uint32_t node;
    size_t begin, end, depth;
  };

  void place(Range range) {
    for (; range.begin < range.end && entries_[range.begin].first.size() == range.depth; ++range.begin) {
      cells_[range.node].value = entries_[range.begin].second;
    }
    if (range.begin == range.end) return;
    children_.clear();
    for (size_t i = range.begin; i < range.end; ++i) {
      const auto byte = static_cast<uint8_t>(entries_[i].first[range.depth]);
      if (children_.empty() || children_.back().first != byte) children_.emplace_back(byte, i);
    }
    const uint32_t base = find_base();
    cells_[range.node].base = base;
    for (size_t c = 0; c < children_.size(); ++c) {
      const uint32_t at = base ^ children_[c].first;
      take(at, range.node);
      const size_t end = c + 1 < children_.size() ? children_[c + 1].second : range.end;
      todo_.push_back({at, children_[c].second, end, range.depth + 1});
    }
  }

  /// A base by which all children fall on free cells. A lone child takes the first free cell. Several try the free
  /// cells from search_ on, a few at a time: where none fits, that region is left to lone children, for a new block.
  uint32_t find_base() {
    constexpr int kTries = 32;
    uint32_t link = children_.size() == 1 ? next_[kHead] : search_;
    for (int i = 0; i < kTries && link != kHead; ++i, link = next_[link]) {
      const uint32_t base = (link - 1) ^ children_[0].first;
      if (std::all_of(children_.begin(), children_.end(),
                      [&](const auto& child) { return cells_[base ^ child.first].parent == kFree; })) {
        return base;
      }
    }
    const auto begin = static_cast<uint32_t>(cells_.size());
    add_block();
    search_ = link != kHead ? link : begin + 1;
    return begin;
  }

  void take(uint32_t at, uint32_t parent) {
    cells_[at].parent = parent;
    if (search_ == at + 1) search_ = next_[search_];
    next_[previous_[at + 1]] = next_[at + 1];
    previous_[next_[at + 1]] = previous_[at + 1];
  }

  void add_block() {
    const auto begin = narrow<uint32_t>(cells_.size());
    CHECK(begin < kFree - 2 * kBlock, "the trie is too large");
    cells_.resize(begin + kBlock);
    next_.resize(begin + kBlock + 1);
    previous_.resize(begin + kBlock + 1);
    for (uint32_t link = begin + 1; link <= begin + kBlock; ++link) {
      previous_[link] = previous_[kHead];
      next_[previous_[kHead]] = link;
      next_[link] = kHead;
      previous_[kHead] = link;
    }
  }

  // The list of free cells: link i + 1 is cell i, link 0 its head and end.
  static constexpr uint32_t kHead = 0;
  uint32_t search_ = kHead;  // the link from which several children look for free cells
  std::vector<uint32_t> next_ = {kHead}, previous_ = {kHead};
  std::vector<Cell>& cells_;
  const Entries& entries_;
  std::deque<Range> todo_;
  std::vector<std::pair<uint8_t, size_t>> children_;  // byte, first entry
};

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  CHECK(entries.empty() || !entries.front().first.empty(), "an empty entry");
  Builder(cells_, entries).build();
}

ByteTrie::Match ByteTrie::longest(std::string_view text) const {
  Match best;
  uint32_t node = kRoot;
  for (size_t i = 0; i < text.size(); ++i) {
    node = child(node, text[i]);
    if (node == kRoot) break;
    if (value(node) != kNoValue) best = {i + 1, value(node)};
  }
  return best;
}

}  // namespace trireme
