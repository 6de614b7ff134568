// The hidden Markov model of jieba's finalseg: reading the package's tables, and Viterbi's path through them.
#include <algorithm>
#include <iterator>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "tokenizer/jieba.h"

namespace trireme {
namespace {

constexpr double kNever = -3.14e100;
constexpr uint32_t kFirstChinese = 0x4E00, kLastChinese = 0x9FD5;

/// A Python file of one assignment of a dictionary with quoted keys, which is JSON but for the quotes.
Json read_table(std::string_view text, const std::string& where) {
  const size_t begin = text.find('{'), end = text.rfind('}');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) {
    throw IoError(cat(where, ": expected a dictionary, P={...}, as in the package jieba"));
  }
  std::string json(text.substr(begin, end + 1 - begin));
  std::replace(json.begin(), json.end(), '\'', '"');
  return Json::parse(json, where);
}

size_t state_of(std::string_view name, const std::string& where) {
  constexpr std::string_view kNames = "BEMS";
  const size_t state = name.size() == 1 ? kNames.find(name[0]) : std::string_view::npos;
  if (state == std::string_view::npos) throw IoError(cat(where, ": '", name, "' is no state; expected B, E, M or S"));
  return state;
}

}  // namespace

JiebaModel::JiebaModel(std::string_view start, std::string_view trans, std::string_view emit,
                       const std::string& where) {
  start_.fill(kNever);
  unknown_.fill(kNever);
  trans_.fill(unknown_);
  emit_.assign(kLastChinese - kFirstChinese + 1, unknown_);
  const std::string start_file = where + "/prob_start.py", trans_file = where + "/prob_trans.py";
  const std::string emit_file = where + "/prob_emit.py";
  const Json starts = read_table(start, start_file), steps = read_table(trans, trans_file);
  const Json emissions = read_table(emit, emit_file);
  for (const auto& [state, value] : starts.members()) {
    start_[state_of(state, start_file)] = value.as_real();
  }
  for (const auto& [from, row] : steps.members()) {
    for (const auto& [to, value] : row.members()) {
      trans_[state_of(from, trans_file)][state_of(to, trans_file)] = value.as_real();
    }
  }
  for (const auto& [state, row] : emissions.members()) {
    const size_t s = state_of(state, emit_file);
    for (const auto& [character, value] : row.members()) {
      const int length = utf8_length(character, 0);
      if (length == 0 || static_cast<size_t>(length) != character.size()) {
        throw IoError(cat(emit_file, ": '", character, "' is not one character"));
      }
      const uint32_t c = utf8_decode(character, 0);
      if (c >= kFirstChinese && c <= kLastChinese) emit_[c - kFirstChinese][s] = value.as_real();
    }
  }
}

const JiebaModel::Row& JiebaModel::emission(uint32_t character) const {
  const bool known = character >= kFirstChinese && character <= kLastChinese;
  return known ? emit_[character - kFirstChinese] : unknown_;
}

void JiebaModel::find_states(std::vector<State>& states, const std::vector<uint32_t>& characters) const {
  // Which states may precede one, in the order that decides ties.
  static constexpr State kBefore[kStates][2] = {{kEnd, kSingle}, {kBegin, kMiddle}, {kBegin, kMiddle}, {kEnd, kSingle}};
  const size_t n = characters.size();
  states.resize(n);
  if (n == 0) return;
  std::vector<std::array<State, kStates>> from(n);
  Row score{};
  for (size_t s = 0; s < kStates; ++s) score[s] = start_[s] + emission(characters[0])[s];
  for (size_t i = 1; i < n; ++i) {
    const Row& emit = emission(characters[i]);
    Row next{};
    for (size_t s = 0; s < kStates; ++s) {
      const auto reach = [&](State before) { return score[before] + trans_[before][s] + emit[s]; };
      const State low = kBefore[s][0], high = kBefore[s][1];
      from[i][s] = reach(high) >= reach(low) ? high : low;
      next[s] = reach(from[i][s]);
    }
    score = next;
  }
  State state = score[kSingle] >= score[kEnd] ? kSingle : kEnd;
  for (size_t i = n; i-- > 0; state = i > 0 ? from[i][state] : state) states[i] = state;
}

}  // namespace trireme
