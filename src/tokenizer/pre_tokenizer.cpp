#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "tokenizer/alphabet.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/scripts.h"

namespace trireme {
namespace {

using Kind = PieceRule::Kind;
using Match = Pieces::Match;

bool is_ascii_sign(uint32_t c) { return c > ' ' && c < 0x7F && (class_table().of(c) & (kLetter | kNumber)) == 0; }

/// Appends what lies between the matches `find` gives: find(from) is the next one at `from` or behind, or none.
template <class Find>
void matches_and_gaps(std::vector<Match>& out, Span span, std::string_view text, Find find) {
  size_t done = span.begin;
  for (size_t from = span.begin; from <= span.end;) {
    const std::optional<RegexMatch> match = find(from);
    if (!match) break;
    if (match->begin > done) out.push_back({done, match->begin, false});
    out.push_back({match->begin, match->end, true});
    done = match->end;
    from = next_search(text, *match);
  }
  if (done < span.end) out.push_back({done, span.end, false});
}

/// Every character for which `is_hit` holds is a match of its own.
template <class Predicate>
void match_characters(std::vector<Match>& out, Span span, std::string_view text, Predicate is_hit) {
  size_t done = span.begin;
  for (size_t i = span.begin; i < span.end;) {
    const CodePoint c = code_point(text.data() + i, text.data() + span.end);
    const size_t next = i + c.length;
    if (is_hit(c.value)) {
      if (i > done) out.push_back({done, i, false});
      out.push_back({i, next, true});
      done = next;
    }
    i = next;
  }
  if (done < span.end) out.push_back({done, span.end, false});
}

/// Runs of \w and runs of [^\w\s] are matches.
void match_words(std::vector<Match>& out, Span span, std::string_view text) {
  enum class Run { white, word, sign };
  const auto run_of = [&](uint32_t c) {
    if (c == CodePoint::kStray) return Run::sign;
    return is_word(c) ? Run::word : (class_table().of(c) & kWhite) != 0 ? Run::white : Run::sign;
  };
  Run last = Run::white;
  for (size_t i = span.begin; i < span.end;) {
    const CodePoint c = code_point(text.data() + i, text.data() + span.end);
    const Run run = run_of(c.value);
    if (i == span.begin || run != last) out.push_back({i, i, run != Run::white});
    out.back().end = i += c.length;
    last = run;
  }
}

/// Every `length` characters are a match.
void match_lengths(std::vector<Match>& out, Span span, std::string_view text, size_t length) {
  for (size_t i = span.begin, n = 0; i < span.end; ++n) {
    if (n % length == 0) out.push_back({i, i, true});
    out.back().end = i += code_point(text.data() + i, text.data() + span.end).length;
  }
}

/// Runs of one script are matches; what is of any script belongs to the run that it follows.
void match_scripts(std::vector<Match>& out, Span span, std::string_view text) {
  uint8_t last = kAnyScript;
  for (size_t i = span.begin; i < span.end;) {
    const CodePoint c = code_point(text.data() + i, text.data() + span.end);
    const uint8_t script = script_of(c.value);
    if (script != kAnyScript && script != last) {
      out.push_back({i, i, true});
      last = script;
    }
    i += c.length;
    if (last != kAnyScript) out.back().end = i;
  }
}

/// Appends the pieces that `behavior` makes of matches and gaps.
void behave(std::vector<Span>& out, const std::vector<Match>& matches, SplitBehavior behavior) {
  const size_t begin = out.size();
  bool previous = false;
  const auto merge_if = [&](bool merge, const Match& m) {
    if (merge && out.size() > begin) {
      out.back() = {std::min(out.back().begin, m.begin), std::max(out.back().end, m.end)};
    } else {
      out.push_back({m.begin, m.end});
    }
    previous = m.hit;
  };
  switch (behavior) {
    case SplitBehavior::removed:
      for (const Match& m : matches) {
        if (!m.hit) out.push_back({m.begin, m.end});
      }
      break;
    case SplitBehavior::isolated:
      for (const Match& m : matches) out.push_back({m.begin, m.end});
      break;
    case SplitBehavior::contiguous:
      for (const Match& m : matches) merge_if(m.hit == previous, m);
      break;
    case SplitBehavior::merged_with_previous:
      for (const Match& m : matches) merge_if(m.hit && !previous, m);
      break;
    case SplitBehavior::merged_with_next:
      for (auto m = matches.rbegin(); m != matches.rend(); ++m) merge_if(m->hit && !previous, *m);
      std::reverse(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end());
      break;
  }
}

}  // namespace

PreTokenizer::PreTokenizer(const std::vector<PieceRule>& rules) {
  for (const PieceRule& rule : rules) {
    steps_.push_back({rule, std::nullopt});
    if (rule.kind == Kind::regex) steps_.back().regex.emplace(rule.text);
  }
  if (rules.size() != 1 || rules[0].kind != Kind::scanner) return;
  // Every character is part of some match of a known pattern.
  const PieceRule& only = rules[0];
  const bool isolated = only.behavior == SplitBehavior::isolated;
  if (isolated || (only.behavior == SplitBehavior::removed && only.invert)) scanner_ = only.scanner;
}

void PreTokenizer::apply(Pieces& pieces, size_t limit, RegexScratch& scratch) const {
  pieces.spans.clear();
  if (!pieces.text.empty()) pieces.spans.push_back({0, pieces.text.size()});
  for (const Step& step : steps_) {
    switch (step.rule.kind) {
      case Kind::replace:
      case Kind::prefix:
      case Kind::first_prefix:
      case Kind::spell: rewrite(step.rule, pieces, limit); break;
      default: cut(step, pieces, scratch);
    }
  }
}

void PreTokenizer::find_matches(const Step& step, Pieces& pieces, Span span, RegexScratch& scratch) {
  const std::string_view text = std::string_view(pieces.text).substr(0, span.end);
  std::vector<Match>& out = pieces.matches;
  const PieceRule& rule = step.rule;
  const auto characters = [&](auto is_hit) { match_characters(out, span, text, is_hit); };
  switch (rule.kind) {
    case Kind::scanner:
      with_split(rule.scanner, [&](const auto& split) {
        const char *begin = text.data(), *end = begin + span.end;
        for (const char* p = begin + span.begin; p < end;) {
          const char* next = split.next(p, end);
          out.push_back({static_cast<size_t>(p - begin), static_cast<size_t>(next - begin), true});
          p = next;
        }
      });
      break;
    case Kind::regex: {
      // The piece is the whole subject: what a pattern sees behind itself must not be another piece.
      const std::string_view piece = text.substr(span.begin);
      matches_and_gaps(out, span, text, [&](size_t from) {
        std::optional<RegexMatch> match = step.regex->find(piece, from - span.begin, scratch);
        if (match) *match = {match->begin + span.begin, match->end + span.begin};
        return match;
      });
      break;
    }
    case Kind::literal:
      matches_and_gaps(out, span, text, [&](size_t from) -> std::optional<RegexMatch> {
        const size_t at = rule.text.empty() ? std::string_view::npos : text.find(rule.text, from);
        if (at == std::string_view::npos) return std::nullopt;
        return RegexMatch{at, at + rule.text.size()};
      });
      break;
    case Kind::number:
      characters([](uint32_t c) { return c < CodePoint::kStray && class_table().of(c) == kNumber; });
      break;
    case Kind::punctuation: characters([](uint32_t c) { return is_punctuation(c) || is_ascii_sign(c); }); break;
    case Kind::white_space:
      characters([](uint32_t c) { return c < CodePoint::kStray && (class_table().of(c) & kWhite) != 0; });
      break;
    case Kind::length: match_lengths(out, span, text, rule.length); break;
    case Kind::scripts: match_scripts(out, span, text); break;
    default: match_words(out, span, text);
  }
}

void PreTokenizer::cut(const Step& step, Pieces& pieces, RegexScratch& scratch) {
  pieces.cut.clear();
  for (const Span span : pieces.spans) {
    pieces.matches.clear();
    find_matches(step, pieces, span, scratch);
    if (step.rule.invert) {
      for (Match& match : pieces.matches) match.hit = !match.hit;
    }
    behave(pieces.cut, pieces.matches, step.rule.behavior);
  }
  std::erase_if(pieces.cut, [](Span span) { return span.begin == span.end; });
  const bool kept = !pieces.cut.empty() && !pieces.spans.empty() && pieces.cut[0].begin == pieces.spans[0].begin;
  pieces.head = pieces.head && kept;
  std::swap(pieces.spans, pieces.cut);
}

void PreTokenizer::rewrite(const PieceRule& rule, Pieces& pieces, size_t limit) {
  std::string out;
  out.reserve(pieces.text.size());
  for (size_t i = 0; i < pieces.spans.size(); ++i) {
    Span& span = pieces.spans[i];
    const std::string_view piece = std::string_view(pieces.text).substr(span.begin, span.end - span.begin);
    const size_t begin = out.size();
    if (rule.kind == Kind::replace) {
      out += replace_all(piece, rule.text, rule.content, limit);
    } else if (rule.kind == Kind::spell) {
      out += spell_bytes(piece);
    } else {
      const bool here = rule.kind == Kind::prefix || (i == 0 && pieces.head);
      if (here && !piece.starts_with(rule.content)) out += rule.content;
      out += piece;
    }
    check_growth(out.size(), limit);
    span = {begin, out.size()};
  }
  pieces.text = std::move(out);
}

}  // namespace trireme
