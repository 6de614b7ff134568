#include "tokenizer/scripts.h"

#include <cstddef>
#include <vector>

#include "tokenizer/script_runs.h"
#include "tokenizer/unicode.h"

namespace trireme {
namespace {

constexpr size_t kPoints = CodePoint::kStray;
constexpr uint8_t kControlBit = 1, kAccentBit = 2;

const PointMap& scripts() {
  static const PointMap map = [] {
    std::vector<uint8_t> flat(kPoints, kAnyScript);
    size_t at = 0;
    for (size_t i = 0; i < std::size(kScriptRuns); i += 3) {
      at += kScriptRuns[i];
      for (const size_t end = at + kScriptRuns[i + 1]; at < end; ++at)
        flat[at] = static_cast<uint8_t>(kScriptRuns[i + 2]);
    }
    return PointMap(flat);
  }();
  return map;
}

bool in_bert_set(uint32_t point, uint8_t bit) {
  static const PointMap map = [] {
    std::vector<uint8_t> flat(kPoints);
    mark_runs(flat, kBertControlRuns, kControlBit);
    mark_runs(flat, kBertAccentRuns, kAccentBit);
    return PointMap(flat);
  }();
  return point < kPoints && (map.of(point) & bit) != 0;
}

}  // namespace

uint8_t script_of(uint32_t code_point) {
  constexpr uint32_t kReplacement = 0xFFFD;
  return scripts().of(code_point < kPoints ? code_point : kReplacement);
}

bool is_bert_control(uint32_t code_point) { return in_bert_set(code_point, kControlBit); }

bool is_bert_accent(uint32_t code_point) { return in_bert_set(code_point, kAccentBit); }

}  // namespace trireme
