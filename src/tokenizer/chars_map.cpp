#include "tokenizer/chars_map.h"

#include <algorithm>

#include "base/error.h"

namespace trireme {
namespace {

constexpr size_t kMaxReplacement = 1024;  // bounds what a text may grow to; Unicode's longest has 33

uint32_t read_u32(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return value;
}

// The bits of a unit of the array.
constexpr bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
constexpr uint32_t leaf_value(uint32_t unit) { return unit & 0x7FFFFFFF; }
constexpr uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
constexpr size_t child_offset(uint32_t unit) { return size_t{unit >> 10} << ((unit & 0x200) >> 6); }

}  // namespace

CharsMap::CharsMap(std::string_view blob, const std::string& where) {
  if (blob.empty()) return;
  const size_t size = blob.size() >= 4 ? read_u32(blob) : 0;
  if (blob.size() < 4 || size % 4 != 0 || size > blob.size() - 4) {
    throw IoError(cat(where, ": precompiled_charsmap of ", blob.size(), " bytes claims an array of ", size, " bytes"));
  }
  units_.resize(size / 4);
  for (size_t i = 0; i < units_.size(); ++i) units_[i] = read_u32(blob.substr(4 + 4 * i));
  replacements_ = blob.substr(4 + size);
  for (size_t begin = 0; begin < replacements_.size();) {
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    if (end - begin > kMaxReplacement) {
      throw IoError(cat(where, ": precompiled_charsmap has a replacement of ", end - begin, " bytes, at most ",
                        kMaxReplacement, " are allowed"));
    }
    begin = end + 1;
  }
}

size_t CharsMap::child(size_t node, char byte) const {
  const size_t at = node ^ child_offset(units_[node]) ^ static_cast<uint8_t>(byte);
  return at < units_.size() && label(units_[at]) == static_cast<uint8_t>(byte) ? at : 0;
}

CharsMap::Rule CharsMap::find(std::string_view text, bool longest) const {
  Rule best;
  if (units_.empty()) return best;
  size_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    node = child(node, text[i]);
    if (node == 0) break;
    const size_t leaf = node ^ child_offset(units_[node]);
    if (!has_leaf(units_[node]) || leaf >= units_.size()) continue;
    const size_t begin = leaf_value(units_[leaf]);
    if (begin >= replacements_.size()) continue;
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    best = {i + 1, std::string_view(replacements_).substr(begin, end - begin)};
    if (!longest) break;
  }
  return best;
}

bool CharsMap::leads_on(std::string_view text) const {
  size_t node = 0;
  for (const char byte : text) {
    node = units_.empty() ? 0 : child(node, byte);
    if (node == 0) return false;
  }
  return true;
}

}  // namespace trireme
