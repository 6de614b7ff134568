#include "tokenizer/piece_counts.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "base/hash.h"

namespace trireme {
namespace {

uint64_t hash_of(std::string_view piece) { return hash64(std::as_bytes(std::span(piece.data(), piece.size()))); }

}  // namespace

void PieceCounts::add(std::string_view text) {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash_of(text) & mask;; at = (at + 1) & mask) {
    if (slots_[at] == 0) {
      if (bytes_.size() + text.size() > kMaxBytes)
        throw ConfigError("the different words of this text take more than 4 GiB; train on a part of it");
      begins_.push_back(static_cast<uint32_t>(bytes_.size()));
      counts_.push_back(1);
      bytes_.resize(bytes_.size() + text.size());
      std::copy(text.begin(), text.end(), bytes_.end() - text.size());
      slots_[at] = size();
      if (begins_.size() * 10 > slots_.size() * 7) grow();
      return;
    }
    const uint32_t found = slots_[at] - 1;
    if (piece(found) != text) continue;
    if (++counts_[found] == 0) ++carries_[found];
    return;
  }
}

void PieceCounts::grow() {
  const size_t size = 2 * slots_.size(), mask = size - 1;
  slots_ = {};  // before the new table is there
  slots_.resize(size);
  for (uint32_t i = 0; i < begins_.size(); ++i) {
    size_t at = hash_of(piece(i)) & mask;
    while (slots_[at] != 0) at = (at + 1) & mask;
    slots_[at] = i + 1;
  }
}

uint64_t PieceCounts::carried(uint32_t piece) const {
  const auto found = carries_.find(piece);
  return found == carries_.end() ? 0 : found->second << 32;
}

}  // namespace trireme
