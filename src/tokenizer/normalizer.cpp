#include "tokenizer/normalizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/normalize.h"
#include "tokenizer/rewrite_characters.h"

namespace trireme {
namespace {

using Kind = NormalizerRule::Kind;

constexpr NormalData kData = NormalData::unicode9;

NormalForm form_of(Kind kind) {
  switch (kind) {
    case Kind::nfd: return NormalForm::nfd;
    case Kind::nfc: return NormalForm::nfc;
    case Kind::nfkd: return NormalForm::nfkd;
    default: return NormalForm::nfkc;
  }
}

std::string put_around_characters(std::string_view text, std::string_view content, size_t limit) {
  check_growth(text.size() + (text.size() + 1) * content.size(), limit);
  std::string out(content);
  for (size_t i = 0; i < text.size();) {
    const auto length = static_cast<size_t>(std::max(utf8_length(text, i), 1));
    out.append(text, i, length).append(content);
    i += length;
  }
  return out;
}

}  // namespace

void check_growth(size_t bytes, size_t limit) {
  if (bytes <= limit) return;
  throw ConfigError(cat("a replacement of the tokenizer makes more than ", limit, " bytes of a text; is it meant to?"));
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content, size_t limit) {
  if (pattern.empty()) return put_around_characters(text, content, limit);
  std::string out;
  size_t done = 0;
  for (size_t at; (at = text.find(pattern, done)) != std::string_view::npos; done = at + pattern.size()) {
    out.append(text, done, at - done);
    out += content;
    check_growth(out.size(), limit);
  }
  return out.append(text, done);
}

std::string replace_matches(const Regex& regex, std::string_view text, std::string_view content, size_t limit,
                            RegexScratch& scratch) {
  std::string out;
  if (text.empty()) return out;
  size_t done = 0;
  for (size_t from = 0; from <= text.size();) {
    const std::optional<RegexMatch> match = regex.find(text, from, scratch);
    if (!match) break;
    out.append(text, done, match->begin - done);
    out += content;
    check_growth(out.size(), limit);
    done = match->end;
    from = next_search(text, *match);
  }
  return out.append(text, done);
}

Normalizer::Normalizer(const std::vector<NormalizerRule>& rules) {
  for (const NormalizerRule& rule : rules) {
    steps_.push_back({rule, std::nullopt, std::nullopt});
    if (rule.kind == Kind::replace_regex) steps_.back().regex.emplace(rule.pattern);
    if (rule.kind == Kind::chars_map) steps_.back().map.emplace(rule.pattern);
  }
}

bool Normalizer::keeps(const Step& step, std::string_view text) {
  switch (step.rule.kind) {
    case Kind::nfd:
    case Kind::nfc:
    case Kind::nfkd:
    case Kind::nfkc: return is_surely_normal(text, form_of(step.rule.kind), kData);
    case Kind::prepend: return text.empty();
    case Kind::chars_map: return step.map->keeps(text);
    case Kind::replace: return text.empty() || text.find(step.rule.pattern) == std::string_view::npos;
    default: return false;
  }
}

std::string Normalizer::run(const Step& step, std::string_view text, size_t limit, RegexScratch& scratch) {
  const NormalizerRule& rule = step.rule;
  switch (rule.kind) {
    case Kind::lowercase: return to_lower(text);
    case Kind::chars_map: return step.map->apply(text, limit, scratch);
    case Kind::strip: return std::string(strip_white(text, rule.left, rule.right));
    case Kind::strip_accents: return strip_accents(text, kData);
    case Kind::prepend: return rule.content + std::string(text);
    case Kind::bert_clean: return bert_clean(text);
    case Kind::bert_ideographs: return space_ideographs(text);
    case Kind::bert_accents: return bert_strip_accents(normalize(text, NormalForm::nfd, kData));
    case Kind::nmt: return nmt_clean(text);
    case Kind::byte_level: return spell_bytes(text);
    case Kind::replace: return replace_all(text, rule.pattern, rule.content, limit);
    case Kind::replace_regex: return replace_matches(*step.regex, text, rule.content, limit, scratch);
    default: return normalize(text, form_of(rule.kind), kData);
  }
}

std::optional<std::string> Normalizer::apply(std::string_view text, size_t limit, RegexScratch& scratch) const {
  std::optional<std::string> out;
  for (const Step& step : steps_) {
    const std::string_view now = out ? *out : text;
    if (keeps(step, now)) continue;
    out = run(step, now, limit, scratch);
    check_growth(out->size(), limit);
  }
  return out;
}

}  // namespace trireme
