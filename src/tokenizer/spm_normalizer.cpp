#include "tokenizer/spm_normalizer.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace trireme {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

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
    bool plain = !begins[static_cast<size_t>(c)] && map_.find_longest({&single, 1}).length == 0;
    for (int next = 0; plain && next < 128; ++next) {
      const char pair[2] = {single, static_cast<char>(next)};
      plain = !map_.leads_on({pair, 2});
    }
    plain_[static_cast<size_t>(c)] = plain;
  }
}

SpmNormalizer::Step SpmNormalizer::step(std::string_view text) const {
  if (const size_t length = symbol(text).length; length > 0) return {text.substr(0, length), length};
  if (const CharsMap::Rule rule = map_.find_longest(text); rule.length > 0) return {rule.replacement, rule.length};
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
