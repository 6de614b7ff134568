#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/numeric.h"
#include "tokenizer/alphabet.h"

namespace trireme {
namespace {

// Around this length scanning all links for the lowest costs as much as keeping a heap (measured on random letters).
constexpr size_t kShortPiece = 128;
constexpr uint32_t kNone = ~uint32_t{0};

uint64_t heap_entry(Link link, uint32_t node) { return (link & ~uint64_t{0xFFFFFFFF}) | node; }

bool contains(const std::vector<int32_t>& ascending, int32_t id) {
  return std::binary_search(ascending.begin(), ascending.end(), id);
}

int32_t product_of(Link link) { return static_cast<int32_t>(link & 0xFFFFFFFF); }

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges, const std::vector<uint32_t>& ranks) {
  const size_t size = std::bit_ceil(std::max<size_t>(merges.size() * 2, 2));
  slots_.resize(size);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
  const size_t bits = std::max<size_t>(size * 4, 64);
  filter_.resize(bits / 64);
  filter_shift_ = 64 - std::countr_zero(bits);
  for (size_t m = 0; m < merges.size(); ++m) {
    const uint64_t key = pair_key(merges[m].left, merges[m].right);
    const uint64_t rank = ranks.empty() ? m : ranks[m];
    size_t i = slot_of(key);
    while (slots_[i].link != kNoLink) i = (i + 1) & mask_;
    const uint64_t bit = (key * kMix) >> filter_shift_;
    filter_[bit / 64] |= uint64_t{1} << (bit % 64);
    slots_[i] = {key, rank << 32 | static_cast<uint32_t>(merges[m].product)};
  }
}

TokenTable::TokenTable(size_t capacity) : slots_(std::bit_ceil(std::max<size_t>(capacity * 2, 2))) {}

size_t TokenTable::index_of(std::string_view token, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  while (slots_[i].id >= 0 && (slots_[i].hash != hash || slots_[i].token != token)) i = (i + 1) & mask;
  return i;
}

void TokenTable::add(std::string_view token, int32_t id) {
  const auto hash = static_cast<uint32_t>(std::hash<std::string_view>()(token));
  Slot& slot = slots_[index_of(token, hash)];
  if (slot.id < 0) slot = {token, hash, id};
  empty_ = false;
}

int32_t TokenTable::find(std::string_view token) const {
  return slots_[index_of(token, static_cast<uint32_t>(std::hash<std::string_view>()(token)))].id;
}

Bpe::Bpe(const TokenizerSpec& spec)
    : byte_level_(spec.model.byte_level),
      byte_fallback_(spec.model.byte_fallback),
      fuse_unk_(spec.model.fuse_unk),
      unk_(spec.model.unk),
      prefix_(spec.model.prefix),
      suffix_(spec.model.suffix),
      merges_(spec.merges),
      vocabulary_(byte_level_ ? 0 : spec.tokens.size()),
      unreachable_(0) {
  byte_ids_.fill(-1);
  const std::vector<std::string>& vocabulary = byte_level_ ? spec.tokens : spec.model.spellings;
  std::vector<char> found(vocabulary.size());  // in text
  for (size_t id = vocabulary.size(); id-- > 0;) {
    const auto as_id = static_cast<int32_t>(id);
    const std::string& token = vocabulary[id];
    if (token.empty() || contains(spec.special, as_id) || contains(spec.model.apart, as_id)) continue;
    found[id] = 1;
    if (byte_level_ && token.size() == 1) byte_ids_[static_cast<uint8_t>(token[0])] = as_id;
    if (!byte_level_) vocabulary_.add(token, as_id);
  }
  if (!byte_level_) {
    for (int byte = 0; byte < 256; ++byte)
      byte_ids_[static_cast<size_t>(byte)] = vocabulary_.find(fallback_token(byte));
  } else if (std::count(byte_ids_.begin(), byte_ids_.end(), -1) == 0) {
    byte_links_.reserve(size_t{1} << 16);
    for (const int32_t left : byte_ids_) {
      for (const int32_t right : byte_ids_) byte_links_.push_back(merges_.find(left, right));
    }
    char_starts_ =
        CharStarts(spec, [this](std::vector<int32_t>& out, std::string_view bytes) { apply_bytes(out, bytes); });
  }
  if (spec.model.ignore_merges) add_unreachable(vocabulary, found);
}

/// Nearly every token is what the merges make of its own bytes, so few need to be looked up.
void Bpe::add_unreachable(const std::vector<std::string>& vocabulary, const std::vector<char>& found) {
  std::vector<int32_t> unreachable, ids;
  BpeScratch scratch;
  for (size_t id = vocabulary.size(); id-- > 0;) {
    if (found[id] == 0) continue;
    const auto as_id = static_cast<int32_t>(id);
    ids.clear();
    merge(ids, vocabulary[id], scratch);
    if (ids.size() != 1 || ids[0] != as_id) unreachable.push_back(as_id);
  }
  unreachable_ = TokenTable(unreachable.size());
  for (const int32_t id : unreachable) unreachable_.add(vocabulary[static_cast<size_t>(id)], id);
}

void Bpe::apply(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const {
  if (!unreachable_.empty()) {
    if (const int32_t id = unreachable_.find(piece); id >= 0) return out.push_back(id);
  }
  merge(out, piece, scratch);
}

void Bpe::merge(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const {
  if (piece.size() <= kShortPiece && !byte_links_.empty()) return apply_bytes(out, piece);
  if (byte_level_ && scratch.ids.size() < piece.size()) scratch.ids.resize(std::max(piece.size(), kShortPiece));
  const size_t n = byte_level_ ? byte_symbols(scratch.ids, piece) : character_symbols(scratch.ids, piece);
  if (n <= kShortPiece) {
    apply_short(out, n, scratch);
  } else {
    merge_long(out, n, scratch);
  }
}

size_t Bpe::byte_symbols(std::vector<int32_t>& ids, std::string_view piece) const {
  size_t n = 0;
  bool unknown = false;  // the last byte; a known one may be of the same token
  for (const char byte : piece) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
    const bool fused = id < 0 && (unk_ < 0 || (unknown && fuse_unk_));
    if (!fused) ids[n++] = id < 0 ? unk_ : id;
    unknown = id < 0;
  }
  return n;
}

/// Unknown characters wait until a known one follows, as they do in Hugging Face's tokenizers; so the bytes of others
/// come before them.
size_t Bpe::character_symbols(std::vector<int32_t>& ids, std::string_view piece) const {
  const bool plain = prefix_.empty() && suffix_.empty();
  std::string spelled;
  bool unknown = false;
  ids.clear();
  for (const char *begin = piece.data(), *p = begin, *end = p + piece.size(); p < end;) {
    std::string_view symbol(p, code_point(p, end).length);
    const bool first = p == begin, last = p + symbol.size() == end;
    p += symbol.size();
    if (!plain) symbol = spelled.assign(first ? "" : prefix_).append(symbol).append(last ? suffix_ : "");
    if (const int32_t id = vocabulary_.find(symbol); id >= 0) {
      if (unknown) ids.push_back(unk_);
      unknown = false;
      ids.push_back(id);
    } else if (!append_fallback(ids, symbol) && unk_ >= 0) {
      if (unknown && !fuse_unk_) ids.push_back(unk_);
      unknown = true;
    }
  }
  if (unknown) ids.push_back(unk_);
  return ids.size();
}

/// Appends the tokens of the bytes of `symbol`, if all have one.
bool Bpe::append_fallback(std::vector<int32_t>& ids, std::string_view symbol) const {
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
  if (!byte_fallback_ || !std::all_of(symbol.begin(), symbol.end(), [&](char b) { return byte_id(b) >= 0; })) {
    return false;
  }
  for (const char byte : symbol) ids.push_back(byte_id(byte));
  return true;
}

void Bpe::apply_bytes(std::vector<int32_t>& out, std::string_view piece) const {
  int32_t ids[kShortPiece];
  Link links[kShortPiece];
  const bool ascii = static_cast<uint8_t>(piece.back()) < 0x80;
  if (const size_t symbols = ascii ? 0 : char_starts_.symbols(ids, piece); symbols != 0) {
    for (size_t i = 0; i + 1 < symbols; ++i) links[i] = merges_.find(ids[i], ids[i + 1]);
    return merge_short(out, ids, links, symbols);
  }
  const size_t n = piece.size();
  const auto* bytes = reinterpret_cast<const uint8_t*>(piece.data());
  for (size_t i = 0; i < n; ++i) ids[i] = byte_ids_[bytes[i]];
  for (size_t i = 0; i + 1 < n; ++i) links[i] = byte_links_[size_t{bytes[i]} << 8 | bytes[i + 1]];
  merge_short(out, ids, links, n);
}

void Bpe::apply_short(std::vector<int32_t>& out, size_t n, BpeScratch& scratch) const {
  Link links[kShortPiece];
  int32_t* ids = scratch.ids.data();
  for (size_t i = 0; i + 1 < n; ++i) links[i] = merges_.find(ids[i], ids[i + 1]);
  merge_short(out, ids, links, n);
}

/// links[i] joins ids[i] and what follows it. Swallowed symbols stay in their places without a link: passing over them
/// costs less than closing the gaps.
void Bpe::merge_short(std::vector<int32_t>& out, int32_t* ids, Link* links, size_t n) const {
  if (n == 0) return;
  uint8_t previous[kShortPiece], next[kShortPiece + 1];
  for (size_t i = 0; i < n; ++i) {
    previous[i] = static_cast<uint8_t>(i - 1);
    next[i] = static_cast<uint8_t>(i + 1);
  }
  links[n - 1] = kNoLink;
  for (;;) {
    size_t at = 0;
    Link best = links[0];
    for (size_t i = 1; i < n; ++i) {
      at = links[i] < best ? i : at;
      best = links[i] < best ? links[i] : best;
    }
    if (best == kNoLink) break;
    const size_t gone = next[at], behind = next[gone];
    ids[at] = product_of(best);
    ids[gone] = -1;
    links[gone] = kNoLink;
    next[at] = static_cast<uint8_t>(behind);
    links[at] = kNoLink;
    if (behind < n) {
      previous[behind] = static_cast<uint8_t>(at);
      links[at] = merges_.find(ids[at], ids[behind]);
    }
    if (at > 0) links[previous[at]] = merges_.find(ids[previous[at]], ids[at]);
  }
  for (size_t i = 0; i < n; ++i) {
    if (ids[i] >= 0) out.push_back(ids[i]);
  }
}

void Bpe::merge_long(std::vector<int32_t>& out, size_t count, BpeScratch& scratch) const {
  const auto n = narrow<uint32_t>(count);
  auto& nodes = scratch.nodes;
  auto& heap = scratch.heap;
  nodes.resize(n);
  heap.clear();
  for (uint32_t i = 0; i < n; ++i) {
    nodes[i] = {scratch.ids[i], i == 0 ? kNone : i - 1, i + 1 == n ? kNone : i + 1, kNoLink};
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
