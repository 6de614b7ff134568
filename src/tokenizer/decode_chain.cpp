#include "tokenizer/decode_chain.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/normalizer.h"

namespace trireme {
namespace {

using Kind = DecodeStep::Kind;

/// What WordPiece and CTC call cleanup: English as it is written, not as it was cut.
constexpr std::pair<const char*, const char*> kTidy[] = {
    {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

/// The byte that a token like <0x0A> stands for, or -1; Hugging Face reads <0x+A> too.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(token[3] == '+' ? 4 : 3, token[3] == '+' ? 1 : 2)) {
    if (digit_value(c) >= 16) return -1;
    value = value * 16 + digit_value(c);
  }
  return value;
}

std::string_view strip(std::string_view text, const DecodeStep& rule) {
  for (int64_t i = 0; i < rule.start && text.starts_with(rule.text); ++i) text.remove_prefix(rule.text.size());
  for (int64_t i = 0; i < rule.stop && text.ends_with(rule.text); ++i) text.remove_suffix(rule.text.size());
  return text;
}

std::string tidy(std::string text, size_t limit) {
  for (const auto& [from, to] : kTidy) text = replace_all(text, from, to, limit);
  return text;
}

/// For every begin of `pattern` the size of its longest end, shorter than itself, that begins the pattern too.
std::vector<uint32_t> borders_of(std::string_view pattern) {
  std::vector<uint32_t> borders(pattern.size());
  uint32_t border = 0;
  for (size_t i = 1; i < pattern.size(); ++i) {
    while (border > 0 && pattern[i] != pattern[border]) border = borders[border - 1];
    borders[i] = pattern[i] == pattern[border] ? ++border : 0;
  }
  return borders;
}

/// `text` behind what is held back, which is a begin of the pattern, with replacements: Knuth, Morris and Pratt, so
/// that no byte is looked at anew however long the pattern.
std::string replace_begun(DecodeStepState& state, const DecodeStep& rule, const std::vector<uint32_t>& borders,
                          std::string_view text, bool last, size_t limit) {
  const std::string_view pattern = rule.text;
  size_t& matched = state.matched;
  std::string out;
  for (const char c : text) {
    while (matched > 0 && pattern[matched] != c) {
      const size_t border = borders[matched - 1];
      out.append(pattern, 0, matched - border);
      matched = border;
    }
    if (pattern[matched] != c) {
      out += c;
    } else if (++matched == pattern.size()) {
      out += rule.content;
      check_growth(out.size(), limit);
      matched = 0;
    }
  }
  if (last) out.append(pattern, 0, std::exchange(matched, 0));
  return out;
}

/// `text` without what is of the begin or may be of the end that is stripped. The pattern is one character, so none of
/// its ends begins it: held back are some whole ones and a begun one.
std::string strip_begun(DecodeStepState& state, const DecodeStep& rule, std::string_view text, bool last) {
  std::string out;
  const auto give_up = [&] {
    for (; state.kept > 0; --state.kept) out += rule.text;
    out.append(rule.text, 0, std::exchange(state.matched, 0));
  };
  for (const char c : text) {
    if (c != rule.text[state.matched]) {
      give_up();
      state.count = rule.start;
    }
    if (c != rule.text[state.matched]) {
      out += c;
    } else if (++state.matched == rule.text.size()) {
      state.matched = 0;
      ++(state.count < rule.start ? state.count : state.kept);
      if (state.kept > rule.stop) out += rule.text;
      state.kept = std::min(state.kept, rule.stop);
    }
  }
  if (last && state.matched > 0) give_up();
  return out;
}

DecodeStep replacing(std::string text, std::string content) {
  return {Kind::replace, std::move(text), std::move(content), 0, 0, false};
}

}  // namespace

DecodeChain::DecodeChain(const DecodeRules& rules) : text_begin_(rules.token_steps.size()) {
  for (const auto* steps : {&rules.token_steps, &rules.text_steps}) {
    for (const DecodeStep& rule : *steps) {
      steps_.push_back({rule, std::nullopt, {}});
      if (rule.kind == Kind::replace_regex) steps_.back().regex.emplace(rule.text);
      if (rule.kind == Kind::replace) steps_.back().borders = borders_of(rule.text);
    }
  }
}

std::string DecodeChain::rewrite(const Step& step, std::string token, const Place& place) {
  const DecodeStep& rule = step.rule;
  const size_t limit = place.limit;
  switch (rule.kind) {
    case Kind::byte_level: {
      std::string bytes;
      return unspell_bytes(bytes, token) == std::string_view::npos ? bytes : token;
    }
    case Kind::byte_fallback: {
      const int byte = fallback_byte(token);
      return byte < 0 ? token : std::string(1, static_cast<char>(byte));
    }
    case Kind::replace: return token.empty() ? token : replace_all(token, rule.text, rule.content, limit);
    case Kind::replace_regex: {
      RegexScratch scratch;
      return replace_matches(*step.regex, token, rule.content, limit, scratch);
    }
    case Kind::strip: return std::string(strip(token, rule));
    case Kind::metaspace:
      return rule.text.empty() ? token : replace_all(token, rule.text, place.first && rule.flag ? "" : " ", limit);
    case Kind::word_piece:
      if (!place.first && token.starts_with(rule.text)) {
        token.erase(0, rule.text.size());
      } else if (!place.first) {
        token.insert(token.begin(), ' ');
      }
      return rule.flag ? tidy(std::move(token), limit) : token;
    case Kind::suffix: return replace_all(token, rule.text, place.last ? "" : " ", limit);
    case Kind::ctc:
      token = replace_all(token, rule.text, "", limit);
      return rule.flag ? replace_all(tidy(std::move(token), limit), rule.content, " ", limit) : token;
    case Kind::join:
      if (!place.first) token.insert(token.begin(), ' ');
      return token;
    case Kind::fuse: break;
  }
  return token;
}

std::string DecodeChain::token(std::string_view spelling, bool first) const {
  const size_t limit = token_growth_limit(spelling.size());
  std::string out(spelling);
  for (size_t i = 0; i < text_begin_; ++i) out = rewrite(steps_[i], std::move(out), {first, false, limit});
  return out;
}

void DecodeChain::push_token(std::string& out, std::string_view token, DecodeState& state) const {
  state.bytes_in += token.size();
  state.steps.resize(steps_.size());
  through_tokens(out, 0, std::string(token), state);
}

void DecodeChain::push_text(std::string& out, std::string_view text, DecodeState& state) const {
  state.bytes_in += text.size();
  state.steps.resize(steps_.size());
  out += through_text(std::string(text), state, false);
}

void DecodeChain::through_tokens(std::string& out, size_t from, std::string token, DecodeState& state) const {
  const size_t limit = growth_limit(state.bytes_in);
  for (size_t i = from; i < text_begin_; ++i) {
    const Kind kind = steps_[i].rule.kind;
    DecodeStepState& own = state.steps[i];
    if (kind == Kind::byte_fallback) {  // bytes in a row make one token
      if (const int byte = fallback_byte(token); byte >= 0) {
        own.held.push_back(static_cast<char>(byte));
        return;
      }
      end_bytes(out, i, state);
      continue;
    }
    if (kind == Kind::ctc && own.begun && own.held == token) return;
    const bool first = !own.begun;
    own.begun = true;
    if (kind == Kind::ctc) own.held = token;
    if (kind == Kind::suffix) std::swap(own.held, token);  // the last one is told by the end only
    if (kind == Kind::suffix && first) return;
    token = rewrite(steps_[i], std::move(token), {first, false, limit});
    if (kind == Kind::ctc && token.empty()) return;
    check_growth(own.made += token.size(), limit);
  }
  out += through_text(std::move(token), state, false);
}

/// Bytes that are no text are a token each.
void DecodeChain::end_bytes(std::string& out, size_t at, DecodeState& state) const {
  const std::string bytes = std::exchange(state.steps[at].held, {});
  if (find_invalid_utf8(bytes) == std::string_view::npos) {
    if (!bytes.empty()) through_tokens(out, at + 1, bytes, state);
    return;
  }
  for (const char byte : bytes) through_tokens(out, at + 1, std::string(1, byte), state);
}

void DecodeChain::finish(std::string& out, DecodeState& state) const {
  if (empty()) return;
  state.steps.resize(steps_.size());
  for (size_t i = 0; i < text_begin_; ++i) {
    const Kind kind = steps_[i].rule.kind;
    DecodeStepState& own = state.steps[i];
    if (kind == Kind::byte_fallback) end_bytes(out, i, state);
    if (kind == Kind::suffix && own.begun) {
      const Place place{false, true, growth_limit(state.bytes_in)};
      through_tokens(out, i + 1, rewrite(steps_[i], std::exchange(own.held, {}), place), state);
    }
  }
  out += through_text({}, state, true);
}

std::string DecodeChain::through_text(std::string text, DecodeState& state, bool last) const {
  const Place place{true, last, growth_limit(state.bytes_in)};
  for (size_t i = text_begin_; i < steps_.size(); ++i) {
    text = run(steps_[i], state.steps[i], text, place);
    check_growth(state.steps[i].made += text.size(), place.limit);
  }
  return text;
}

std::string DecodeChain::run(const Step& step, DecodeStepState& state, std::string_view text, const Place& place) {
  if (step.rule.kind == Kind::strip) return strip_begun(state, step.rule, text, place.last);
  if (step.rule.kind == Kind::replace && !step.rule.text.empty()) {
    return replace_begun(state, step.rule, step.borders, text, place.last, place.limit);
  }
  state.held += text;
  // Any text to come may change what the others make of this one.
  return place.last ? rewrite(step, std::exchange(state.held, {}), place) : std::string();
}

std::vector<DecodeStep> text_steps(const std::vector<DecodeStep>& fused) {
  std::vector<DecodeStep> out;
  const auto add_tidy = [&] {
    for (const auto& [from, to] : kTidy) out.push_back(replacing(from, to));
  };
  for (const DecodeStep& step : fused) {
    switch (step.kind) {
      case Kind::fuse: break;
      case Kind::metaspace:
        if (!step.text.empty()) out.push_back(replacing(step.text, step.flag ? "" : " "));
        break;
      case Kind::word_piece:
        if (step.flag) add_tidy();
        break;
      case Kind::suffix:
        if (!step.text.empty()) out.push_back(replacing(step.text, ""));
        break;
      case Kind::ctc:
        if (!step.text.empty()) out.push_back(replacing(step.text, ""));
        if (!step.flag) break;
        add_tidy();
        out.push_back(replacing(step.content, " "));
        break;
      default: out.push_back(step);
    }
  }
  return out;
}

}  // namespace trireme
