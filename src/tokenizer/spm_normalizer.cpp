#include "tokenizer/spm_normalizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
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

CharsMap::Rule CharsMap::find(std::string_view text) const {
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

SpmNormalizer::SpmNormalizer(const SpmModel& model, const std::string& where)
    : map_(model.charsmap, where),
      dummy_(model.add_dummy_prefix),
      suffix_(model.space_as_suffix),
      remove_extra_(model.remove_extra_spaces),
      space_(model.escape_spaces ? kSpmSpace : " ") {
  std::vector<std::pair<std::string_view, int32_t>> symbols;
  std::array<bool, 256> begins{};  // of a symbol
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    if (piece.type != SpmPiece::Type::user_defined) continue;
    symbols.emplace_back(piece.text, static_cast<int32_t>(id));
    begins[static_cast<uint8_t>(piece.text[0])] = true;
  }
  has_symbols_ = !symbols.empty();
  symbols_ = ByteTrie(std::move(symbols));
  for (int c = '!'; c < 128; ++c) {  // a space is never plain
    const char single = static_cast<char>(c);
    bool plain = !begins[static_cast<size_t>(c)] && map_.find({&single, 1}).length == 0;
    for (int next = 0; plain && next < 128; ++next) {
      const char pair[2] = {single, static_cast<char>(next)};
      plain = !map_.leads_on({pair, 2});
    }
    plain_[static_cast<size_t>(c)] = plain;
  }
}

SpmNormalizer::Step SpmNormalizer::step(std::string_view text) const {
  if (const size_t length = symbol(text).length; length > 0) return {text.substr(0, length), length};
  if (const CharsMap::Rule rule = map_.find(text); rule.length > 0) return {rule.replacement, rule.length};
  const int length = utf8_length(text, 0);
  if (length == 0) return {kReplacement, 1};
  return {text.substr(0, static_cast<size_t>(length)), static_cast<size_t>(length)};
}

/// Bytes at the begin of `text` that are copied as they are, without a look at the map. A plain letter may still join
/// a mark that follows it, which is not ASCII.
size_t SpmNormalizer::plain_length(std::string_view text) const {
  size_t n = 0;
  while (n < text.size() && plain_[static_cast<uint8_t>(text[n])]) ++n;
  if (n > 0 && n < text.size() && static_cast<uint8_t>(text[n]) >= 128) --n;
  return n;
}

void SpmNormalizer::normalize(std::string& out, std::string_view text, Begin begin) const {
  out.clear();
  bool after_space = remove_extra_ && begin == Begin::as_model;
  while (after_space && !text.empty()) {
    const Step s = step(text);
    if (s.text != " ") break;
    text.remove_prefix(s.length);
  }
  if (text.empty()) return;
  const bool dummy = dummy_ && begin != Begin::inside;
  if (dummy && !suffix_) out += space_;
  while (!text.empty()) {
    if (const size_t plain = plain_length(text); plain > 0) {
      out += text.substr(0, plain);
      text.remove_prefix(plain);
      after_space = false;
      continue;
    }
    Step s = step(text);
    text.remove_prefix(s.length);
    while (after_space && s.text.starts_with(' ')) s.text.remove_prefix(1);
    if (s.text.empty()) {
      after_space = after_space && remove_extra_;
      continue;
    }
    for (const char c : s.text) {
      if (c == ' ') {
        out += space_;
      } else {
        out += c;
      }
    }
    after_space = remove_extra_ && s.text.back() == ' ';
  }
  while (remove_extra_ && std::string_view(out).ends_with(space_)) out.resize(out.size() - space_.size());
  if (dummy && suffix_) out += space_;
}

}  // namespace trireme
