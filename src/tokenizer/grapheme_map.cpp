#include "tokenizer/grapheme_map.h"

#include "tokenizer/normalizer.h"
#include "tokenizer/unicode.h"

namespace trireme {
namespace {

constexpr size_t kShortGrapheme = 6;  // bytes, from which on characters are mapped one by one

}  // namespace

GraphemeMap::GraphemeMap(std::string_view blob) : map_(blob, "normalizer"), grapheme_(R"(\X)") {
  for (char c = ' '; c <= '~'; ++c) plain_[static_cast<size_t>(c)] = map_.find_shortest({&c, 1}).length == 0;
}

bool GraphemeMap::keeps(std::string_view text) const {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= 128 || !plain_[static_cast<size_t>(c)]) return false;
  }
  return true;
}

void GraphemeMap::map_grapheme(std::string& out, std::string_view grapheme) const {
  if (grapheme.size() < kShortGrapheme) {
    if (const CharsMap::Rule rule = map_.find_shortest(grapheme); rule.length > 0) {
      out += rule.replacement;
      return;
    }
  }
  for (const char *p = grapheme.data(), *end = p + grapheme.size(); p < end;) {
    const std::string_view character(p, code_point(p, end).length);
    const CharsMap::Rule rule = map_.find_shortest(character);
    out += rule.length > 0 ? rule.replacement : character;
    p += character.size();
  }
}

std::string GraphemeMap::apply(std::string_view text, size_t limit, RegexScratch& scratch) const {
  const auto ascii = [&](size_t i) { return i >= text.size() || static_cast<uint8_t>(text[i]) < 128; };
  std::string out;
  for (size_t at = 0; at < text.size(); check_growth(out.size(), limit)) {
    if (ascii(at) && ascii(at + 1) && plain_[static_cast<size_t>(text[at])]) {
      out += text[at++];
      continue;
    }
    const std::optional<RegexMatch> match = grapheme_.find(text, at, scratch);
    out.append(text, at, (match ? match->begin : text.size()) - at);  // not UTF-8
    if (!match) break;
    map_grapheme(out, text.substr(match->begin, match->end - match->begin));
    at = match->end;
  }
  return out;
}

}  // namespace trireme
