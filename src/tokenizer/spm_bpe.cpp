#include "tokenizer/spm_bpe.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "base/numeric.h"
#include "tokenizer/byte_trie.h"

namespace trireme {
namespace {

constexpr int32_t kUnknownSymbol = -1;

size_t char_length(std::string_view text, size_t i) { return std::min(spm_char_length(text[i]), text.size() - i); }

/// The bytes of a character in one number. Different characters give different numbers: the first byte tells how many
/// follow, and a character that is cut off is none of a piece's.
uint32_t char_key(std::string_view text, size_t i, size_t length) {
  uint32_t key = 0;
  for (size_t k = 0; k < length; ++k) key = key << 8 | static_cast<uint8_t>(text[i + k]);
  return key;
}

}  // namespace

/// Derives the merges: every way to cut a piece into two symbols is one, of the rank of the piece's score.
class SpmBpe::Builder {
 public:
  Builder(SpmBpe& bpe, const SpmModel& model) : bpe_(bpe), model_(model) {}

  void build() {
    find_symbols();
    rank_scores();
    for (const int32_t id : ids_) add_merges(id);
    bpe_.merges_ = MergeTable(merges_, ranks_);
  }

 private:
  const SpmPiece& piece(int32_t id) const { return model_.pieces[static_cast<size_t>(id)]; }

  void find_symbols() {
    std::vector<std::string> reversed;
    for (size_t i = 0; i < model_.pieces.size(); ++i) {
      const SpmPiece& p = model_.pieces[i];
      const auto id = static_cast<int32_t>(i);
      if (p.type != SpmPiece::Type::normal) continue;
      ids_.push_back(id);
      const size_t length = char_length(p.text, 0);
      if (length == p.text.size()) bpe_.characters_[char_key(p.text, 0, length)] = id;
    }
    reversed.reserve(ids_.size());
    std::vector<std::pair<std::string_view, int32_t>> prefixes, suffixes;
    for (const int32_t id : ids_) {
      const std::string& text = piece(id).text;
      reversed.emplace_back(text.rbegin(), text.rend());
      prefixes.emplace_back(text, id);
      suffixes.emplace_back(reversed.back(), id);
    }
    prefixes_ = ByteTrie(std::move(prefixes));
    suffixes_ = ByteTrie(std::move(suffixes));
  }

  void rank_scores() {
    for (const int32_t id : ids_) scores_.push_back(piece(id).score);
    std::sort(scores_.begin(), scores_.end(), std::greater<>());
    scores_.erase(std::unique(scores_.begin(), scores_.end()), scores_.end());
  }

  void add_merges(int32_t id) {
    const std::string& text = piece(id).text;
    const auto place = std::lower_bound(scores_.begin(), scores_.end(), piece(id).score, std::greater<>());
    const auto rank = static_cast<uint32_t>(place - scores_.begin());
    find_rights(text);
    uint32_t node = ByteTrie::kRoot, previous = 0;
    for (size_t i = 0; i < text.size();) {
      const size_t length = char_length(text, i);
      const uint32_t key = char_key(text, i, length);
      const int32_t symbol = symbol_of(key);
      if (i > 0) bpe_.neighbours_.add(previous, key);
      previous = key;
      for (size_t k = 0; k < length; ++k) node = prefixes_.child(node, text[i + k]);
      const int32_t left = i == 0 ? symbol : prefixes_.value(node);
      i += length;
      if (i == text.size()) break;
      const bool last = i + char_length(text, i) == text.size();
      const int32_t right = last ? symbol_of(char_key(text, i, text.size() - i)) : rights_[i];
      if (left == ByteTrie::kNoValue || right == ByteTrie::kNoValue) continue;
      merges_.push_back({left, right, id});
      ranks_.push_back(rank);
    }
  }

  /// The pieces that `text` ends with, by where they begin.
  void find_rights(const std::string& text) {
    rights_.assign(text.size(), ByteTrie::kNoValue);
    uint32_t node = ByteTrie::kRoot;
    for (size_t i = text.size(); i-- > 0;) {
      node = suffixes_.child(node, text[i]);
      if (node == ByteTrie::kRoot) break;
      rights_[i] = suffixes_.value(node);
    }
  }

  int32_t symbol_of(uint32_t character) {
    const auto fresh = static_cast<int32_t>(model_.pieces.size() + bpe_.characters_.size());
    return bpe_.characters_.emplace(character, fresh).first->second;
  }

  SpmBpe& bpe_;
  const SpmModel& model_;
  std::vector<int32_t> ids_;  // of the pieces that merges make
  ByteTrie prefixes_, suffixes_;
  std::vector<float> scores_;  // different ones, the highest first
  std::vector<int32_t> rights_;
  std::vector<Merge> merges_;
  std::vector<uint32_t> ranks_;
};

SpmBpe::SpmBpe(const SpmModel& model) : output_(model), num_pieces_(narrow<int32_t>(model.pieces.size())) {
  Builder(*this, model).build();
}

void SpmBpe::encode(std::vector<int32_t>& out, std::string_view text, const SpmNormalizer& normalizer,
                    Scratch& scratch) const {
  const size_t first = out.size();
  const char* text_end = text.data() + text.size();
  size_t begin = 0;
  const auto end_run = [&](size_t end) {
    if (end == begin) return;
    const std::string_view run = text.substr(begin, end - begin);
    scratch.cache.append(out, run, text_end, [&](std::vector<int32_t>& ids) { encode_run(ids, run, scratch); });
    begin = end;
  };
  uint32_t previous = 0;
  for (size_t i = 0; i < text.size();) {
    if (const ByteTrie::Match symbol = normalizer.symbol(text.substr(i)); symbol.length > 0) {
      end_run(i);
      out.push_back(symbol.value);
      begin = i += symbol.length;
      continue;
    }
    const size_t length = char_length(text, i);
    const uint32_t key = char_key(text, i, length);
    if (i > begin && !neighbours_.has(previous, key)) end_run(i);
    previous = key;
    i += length;
  }
  end_run(text.size());
  output_.join_unknown(out, first);
}

void SpmBpe::encode_run(std::vector<int32_t>& out, std::string_view run, Scratch& scratch) const {
  split_symbols(run, scratch);
  merge(scratch);
  for (const Scratch::Symbol& symbol : scratch.symbols) {
    if (symbol.length == 0) continue;
    const bool known = symbol.id >= 0 && symbol.id < num_pieces_;
    output_.append(out, known ? symbol.id : output_.unk_id(), run.substr(symbol.begin, symbol.length));
  }
}

void SpmBpe::split_symbols(std::string_view run, Scratch& scratch) const {
  scratch.symbols.clear();
  for (size_t i = 0; i < run.size();) {
    const size_t length = char_length(run, i);
    const auto found = characters_.find(char_key(run, i, length));
    const auto at = narrow<uint32_t>(scratch.symbols.size());
    scratch.symbols.push_back({found == characters_.end() ? kUnknownSymbol : found->second, narrow<uint32_t>(i),
                               static_cast<uint32_t>(length), at - 1, at + 1, kNoLink});
    i += length;
  }
}

/// Unlike Bpe's, ranks may be shared: a heap of rank and place gives the leftmost of the lowest. Its entries may be
/// stale.
void SpmBpe::merge(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  const auto entry_of = [&](uint32_t i) { return (symbols[i].link & ~uint64_t{0xFFFFFFFF}) | i; };
  const auto link = [&](uint32_t i) {
    const uint32_t next = symbols[i].next;
    symbols[i].link = next < symbols.size() ? merges_.find(symbols[i].id, symbols[next].id) : kNoLink;
    if (symbols[i].link != kNoLink) heap.push_back(entry_of(i));
    return symbols[i].link != kNoLink;
  };
  heap.clear();
  for (uint32_t i = 0; i < symbols.size(); ++i) link(i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t entry = heap.back();
    heap.pop_back();
    const auto at = static_cast<uint32_t>(entry & 0xFFFFFFFF);
    auto& symbol = symbols[at];
    if (symbol.link == kNoLink || entry_of(at) != entry) continue;  // swallowed, or its pair has changed
    auto& right = symbols[symbol.next];
    symbol.id = static_cast<int32_t>(symbol.link & 0xFFFFFFFF);
    symbol.length += right.length;
    symbol.next = right.next;
    right.length = 0;
    right.link = kNoLink;
    if (symbol.next < symbols.size()) symbols[symbol.next].previous = at;
    if (link(at)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (at > 0 && link(symbol.previous)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
}

}  // namespace trireme
