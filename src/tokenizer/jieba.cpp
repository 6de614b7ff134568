#include "tokenizer/jieba.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr uint32_t kFirstChinese = 0x4E00, kLastChinese = 0x9FD5;

bool is_chinese(uint32_t c) { return c >= kFirstChinese && c <= kLastChinese; }
bool is_digit(uint32_t c) { return c >= '0' && c <= '9'; }
bool is_alnum(uint32_t c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
/// Characters that form runs; all others are words by themselves.
bool is_run(uint32_t c) {
  return is_chinese(c) || is_alnum(c) ||
         (c < 128 && std::string_view("+#&._%-").find(static_cast<char>(c)) != std::string_view::npos);
}

/// One character, or a byte that belongs to none.
struct Character {
  uint32_t code;
  uint32_t length;
};

Character character_at(std::string_view text, size_t i) {
  const int length = utf8_length(text, i);
  if (length == 0) return {0xFFFD, 1};
  return {utf8_decode(text, i), static_cast<uint32_t>(length)};
}

}  // namespace

Jieba::Jieba(std::string_view dictionary, const std::string& where, JiebaModel model) : model_(std::move(model)) {
  std::unordered_map<std::string_view, int64_t> frequencies;
  int64_t total = 0, number = 0;
  for (size_t begin = 0; begin < dictionary.size();) {
    const size_t end = std::min(dictionary.find('\n', begin), dictionary.size());
    const std::string_view line = trim(dictionary.substr(begin, end - begin));
    begin = end + 1;
    ++number;
    const size_t space = line.find(' ');
    const std::string_view rest = space < line.size() ? line.substr(space + 1) : "";
    int64_t frequency = 0;
    const bool counted = parse_integer(rest.substr(0, rest.find(' ')), frequency);
    if (!counted || space == 0 || frequency < 0 || find_invalid_utf8(line) != std::string_view::npos) {
      throw IoError(cat(where, ": line ", number,
                        ": expected a word and its frequency with one space between them, found '", line.substr(0, 80),
                        "'"));
    }
    frequencies[line.substr(0, space)] = frequency;
    if (__builtin_add_overflow(total, frequency, &total))
      throw IoError(cat(where, ": line ", number, ": the sum of frequencies overflows"));
  }
  if (total == 0) throw IoError(cat(where, ": no word has a frequency"));
  const double log_total = std::log(static_cast<double>(total));
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (const auto& [word, frequency] : frequencies) {
    if (frequency == 0) continue;
    entries.emplace_back(word, narrow<int32_t>(scores_.size()));
    scores_.push_back(std::log(static_cast<double>(frequency)) - log_total);
  }
  words_ = ByteTrie(std::move(entries));
  unknown_score_ = 0 - log_total;
}

bool Jieba::is_word(std::string_view text) const {
  const ByteTrie::Match match = words_.longest(text);
  return match.length == text.size();
}

void Jieba::cut(std::vector<std::string_view>& words, std::string_view text, Scratch& scratch) const {
  narrow<uint32_t>(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    Character c = character_at(text, i);
    if (!is_run(c.code)) {
      i += text.substr(i).starts_with("\r\n") ? 2 : c.length;
      words.push_back(text.substr(begin, i - begin));
      continue;
    }
    scratch.begins.clear();
    scratch.characters.clear();
    for (; i < text.size(); i += c.length) {
      c = character_at(text, i);
      if (!is_run(c.code)) break;
      scratch.begins.push_back(static_cast<uint32_t>(i - begin));
      scratch.characters.push_back(c.code);
    }
    scratch.begins.push_back(static_cast<uint32_t>(i - begin));
    cut_run(words, text.substr(begin, i - begin), scratch);
  }
}

/// Fills scratch.route from the end: at every character the best of all words that begin there, the longest of equals.
void Jieba::find_route(std::string_view run, Scratch& scratch) const {
  const size_t n = scratch.characters.size();
  scratch.route.assign(n + 1, {0, 0});
  for (size_t i = n; i-- > 0;) {
    Scratch::Step best{unknown_score_ + scratch.route[i + 1].score, static_cast<uint32_t>(i + 1)};
    bool found = false;
    uint32_t node = ByteTrie::kRoot;
    for (size_t k = i; k < n; ++k) {
      bool lost = false;
      for (size_t b = scratch.begins[k]; b < scratch.begins[k + 1] && !lost; ++b) {
        node = words_.child(node, run[b]);
        lost = node == ByteTrie::kRoot;
      }
      if (lost) break;
      const int32_t word = words_.value(node);
      if (word == ByteTrie::kNoValue) continue;
      const double score = scores_[static_cast<size_t>(word)] + scratch.route[k + 1].score;
      if (!found || score >= best.score) best = {score, static_cast<uint32_t>(k + 1)};
      found = true;
    }
    scratch.route[i] = best;
  }
}

void Jieba::cut_run(std::vector<std::string_view>& words, std::string_view run, Scratch& scratch) const {
  find_route(run, scratch);
  const auto part = [&](size_t first, size_t last) {
    return run.substr(scratch.begins[first], scratch.begins[last] - scratch.begins[first]);
  };
  size_t first = 0;  // of the single characters before i
  const auto end_singles = [&](size_t last) {
    if (last - first <= 1 || is_word(part(first, last))) {
      for (size_t k = first; k < last; ++k) words.push_back(part(k, k + 1));
    } else {
      cut_unknown(words, run, first, last, scratch);
    }
  };
  const size_t n = scratch.characters.size();
  for (size_t i = 0; i < n;) {
    const size_t next = scratch.route[i].next;
    if (next - i > 1) {
      end_singles(i);
      words.push_back(part(i, next));
      first = next;
    }
    i = next;
  }
  end_singles(n);
}

/// Characters [first, last) that the dictionary left single: Chinese by the model, numbers and names as they stand.
void Jieba::cut_unknown(std::vector<std::string_view>& words, std::string_view run, size_t first, size_t last,
                        Scratch& scratch) const {
  const std::vector<uint32_t>& c = scratch.characters;
  for (size_t i = first; i < last;) {
    size_t end = i;
    if (is_chinese(c[i])) {
      while (end < last && is_chinese(c[end])) ++end;
      cut_chinese(words, run, i, end, scratch);
      i = end;
      continue;
    }
    while (end < last && is_alnum(c[end])) ++end;
    if (end > i) {  // [a-zA-Z0-9]+(\.\d+)?%?
      size_t fraction = end + 1;
      while (end < last && c[end] == '.' && fraction < last && is_digit(c[fraction])) ++fraction;
      if (fraction > end + 1) end = fraction;
      if (end < last && c[end] == '%') ++end;
    } else {
      while (end < last && !is_alnum(c[end]) && !is_chinese(c[end])) ++end;
    }
    words.push_back(run.substr(scratch.begins[i], scratch.begins[end] - scratch.begins[i]));
    i = end;
  }
}

void Jieba::cut_chinese(std::vector<std::string_view>& words, std::string_view run, size_t first, size_t last,
                        Scratch& scratch) const {
  const auto at = [](size_t i) { return static_cast<std::ptrdiff_t>(i); };
  scratch.chinese.assign(scratch.characters.begin() + at(first), scratch.characters.begin() + at(last));
  model_.find_states(scratch.states, scratch.chinese);
  size_t begin = first;
  for (size_t i = first; i < last; ++i) {
    const JiebaModel::State state = scratch.states[i - first];
    if (state == JiebaModel::kBegin) begin = i;
    const bool ends = state == JiebaModel::kEnd || state == JiebaModel::kSingle;
    if (!ends) continue;
    words.push_back(run.substr(scratch.begins[begin], scratch.begins[i + 1] - scratch.begins[begin]));
    begin = i + 1;
  }
}

}  // namespace trireme
