#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/numeric.h"

namespace trireme {
namespace {

// Around this length scanning all links for the lowest costs as much as keeping a heap (measured on random letters).
constexpr size_t kShortPiece = 128;
constexpr uint32_t kNone = ~uint32_t{0};

uint64_t heap_entry(Link link, uint32_t node) { return (link & ~uint64_t{0xFFFFFFFF}) | node; }
int32_t product_of(Link link) { return static_cast<int32_t>(link & 0xFFFFFFFF); }

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges) {
  const size_t size = std::bit_ceil(std::max<size_t>(merges.size() * 2, 2));
  slots_.resize(size);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t key = pair_key(merges[rank].left, merges[rank].right);
    size_t i = slot_of(key);
    while (slots_[i].link != kNoLink) i = (i + 1) & mask_;
    slots_[i] = {key, uint64_t{rank} << 32 | static_cast<uint32_t>(merges[rank].product)};
  }
}

Bpe::Bpe(const TokenizerSpec& spec) : merges_(spec.merges) {
  for (size_t id = spec.tokens.size(); id-- > 0;) {
    const std::string& token = spec.tokens[id];
    const auto as_id = static_cast<int32_t>(id);
    if (token.size() == 1 && !std::binary_search(spec.special.begin(), spec.special.end(), as_id)) {
      byte_ids_[static_cast<uint8_t>(token[0])] = as_id;
    }
  }
}

void Bpe::apply(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const {
  if (piece.size() <= kShortPiece) {
    apply_short(out, piece, scratch);
  } else {
    apply_long(out, piece, scratch);
  }
}

void Bpe::apply_short(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const {
  scratch.ids.resize(kShortPiece);
  scratch.links.resize(kShortPiece);
  int32_t* ids = scratch.ids.data();
  Link* links = scratch.links.data();  // links[i] joins ids[i] and ids[i + 1]
  size_t n = piece.size();
  for (size_t i = 0; i < n; ++i) ids[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  for (size_t i = 0; i + 1 < n; ++i) links[i] = merges_.find(ids[i], ids[i + 1]);

  while (n > 1) {
    const auto at = static_cast<size_t>(std::min_element(links, links + n - 1) - links);
    if (links[at] == kNoLink) break;
    ids[at] = product_of(links[at]);
    std::copy(ids + at + 2, ids + n, ids + at + 1);
    std::copy(links + at + 1, links + n - 1, links + at);
    --n;
    if (at + 1 < n) links[at] = merges_.find(ids[at], ids[at + 1]);
    if (at > 0) links[at - 1] = merges_.find(ids[at - 1], ids[at]);
  }
  out.insert(out.end(), ids, ids + n);
}

void Bpe::apply_long(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const {
  const auto n = narrow<uint32_t>(piece.size());
  auto& nodes = scratch.nodes;
  auto& heap = scratch.heap;
  nodes.resize(n);
  heap.clear();
  for (uint32_t i = 0; i < n; ++i) {
    nodes[i] = {byte_ids_[static_cast<uint8_t>(piece[i])], i == 0 ? kNone : i - 1, i + 1 == n ? kNone : i + 1, kNoLink};
  }
  const auto link = [&](uint32_t i) {
    nodes[i].link = nodes[i].next == kNone ? kNoLink : merges_.find(nodes[i].id, nodes[nodes[i].next].id);
    if (nodes[i].link != kNoLink) heap.push_back(heap_entry(nodes[i].link, i));
    return nodes[i].link != kNoLink;
  };
  for (uint32_t i = 0; i < n; ++i) link(i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t entry = heap.back();
    heap.pop_back();
    const auto at = static_cast<uint32_t>(entry & 0xFFFFFFFF);
    auto& node = nodes[at];
    // A node that was swallowed, or whose pair has changed since, has another link now.
    if (node.link == kNoLink || heap_entry(node.link, at) != entry) continue;
    node.id = product_of(node.link);
    nodes[node.next].link = kNoLink;
    node.next = nodes[node.next].next;
    if (node.next != kNone) nodes[node.next].previous = at;
    if (link(at)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (node.previous != kNone && link(node.previous)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  for (uint32_t i = 0; i != kNone; i = nodes[i].next) out.push_back(nodes[i].id);
}

}  // namespace trireme
