#include "tokenizer/split.h"

namespace trireme {
namespace {

constexpr CharClass kWordless = kWhite | kLetter | kNumber;  // [^\s\p{L}\p{N}] is what is outside

/// Length of the contraction at the apostrophe p, or 0. Small ASCII letters only, as GPT-2's pattern has it.
int contraction(const char* p, const char* end) {
  if (end - p < 2) return 0;
  const char a = p[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (end - p < 3) return 0;
  const char b = p[2];
  return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? 3 : 0;
}

/// The same for (?i:...), which also folds the long s (U+017F).
int folded_contraction(const char* p, const char* end) {
  if (end - p >= 3 && p[1] == '\xC5' && p[2] == '\xBF') return 3;
  char small[3] = {'\'', 0, 0};
  for (int i = 1; i < 3 && i < end - p; ++i)
    small[i] = p[i] >= 'A' && p[i] <= 'Z' ? static_cast<char>(p[i] + 32) : p[i];
  return contraction(small, small + (end - p < 3 ? end - p : 3));
}

const char* with_contraction(const char* p, const char* end) {
  return p < end && *p == '\'' ? p + folded_contraction(p, end) : p;
}

/// \s+(?!\S)|\s+ at p: the last symbol of a longer run is left to what follows, which may start with a space.
/// With `breaks`, \s*[\r\n]+ comes before.
const char* white_space(const ClassTable& table, const char* p, const char* end, bool breaks, bool whole_tail) {
  const char *last = p, *after_break = p, *q = p;
  while (q < end) {
    const Symbol symbol = table.symbol(q, end);
    if ((symbol.cls & kWhite) == 0) break;
    last = q;
    q += symbol.length;
    if (symbol.cls == kLineBreak) after_break = q;
  }
  if (whole_tail && q == end) return q;
  if (breaks && after_break != p) return after_break;
  return q == end || last == p ? q : last;
}

/// \p{N}{1,digits} at p, a number.
const char* number(const ClassTable& table, const char* p, const char* end, int digits) {
  for (int i = 0; i < digits && p < end; ++i) {
    const Symbol symbol = table.symbol(p, end);
    if (symbol.cls != kNumber) break;
    p += symbol.length;
  }
  return p;
}

/// Signs from `first` on and the line breaks, and with `slashes` the slashes, behind them.
const char* signs(const ClassTable& table, const char* first, const char* end, bool slashes) {
  const char* p = table.skip_others(kWordless, first, end);
  while (p < end && (*p == '\r' || *p == '\n' || (slashes && *p == '/'))) ++p;
  return p;
}

/// What the patterns since cl100k have behind words.
const char* beside_words(const ClassTable& table, const char* p, const char* end, Symbol symbol, bool slashes,
                         bool whole_tail) {
  if ((symbol.cls & kWordless) == 0) return signs(table, p, end, slashes);
  if (*p == ' ' && p + 1 < end && (table.symbol(p + 1, end).cls & kWordless) == 0) {
    return signs(table, p + 1, end, slashes);
  }
  return white_space(table, p, end, true, whole_tail);
}

}  // namespace

const char* Gpt2Split::next(const char* p, const char* end) const {
  if (*p == '\'') {
    if (const int length = contraction(p, end)) return p + length;
  }
  const char* first = *p == ' ' && p + 1 < end ? p + 1 : p;
  const Symbol symbol = table_.symbol(first, end);
  if ((symbol.cls & kLetter) != 0) return table_.skip(kLetter, first + symbol.length, end);
  if ((symbol.cls & kWordless) == 0) return table_.skip_others(kWordless, first + symbol.length, end);
  if (symbol.cls == kNumber) return table_.skip(kNumber, first + symbol.length, end);
  return white_space(table_, p, end, false, false);
}

template <int kDigits, bool kWholeTail>
const char* WordSplit<kDigits, kWholeTail>::next(const char* p, const char* end) const {
  const Symbol symbol = table_.symbol(p, end);
  if ((symbol.cls & kLetter) != 0) return table_.skip(kLetter, p + symbol.length, end);
  if (symbol.cls == kNumber) return number(table_, p, end, kDigits);
  if (*p == '\'') {
    if (const int length = folded_contraction(p, end)) return p + length;
  }
  if (symbol.cls != kLineBreak) {
    const char* letters = p + symbol.length;
    const char* q = table_.skip(kLetter, letters, end);
    if (q != letters) return q;
  }
  return beside_words(table_, p, end, symbol, false, kWholeTail);
}

template class WordSplit<3, false>;
template class WordSplit<3, true>;
template class WordSplit<1, false>;

/// U*L+ or else, unless `small` asks for the first only, U+L* at p, with a contraction behind; p where there is
/// neither.
const char* O200kSplit::word(const char* p, const char* end, bool small) const {
  constexpr CharClass kU = kUpper | kCaseless | kMark, kL = kLower | kCaseless | kMark;
  const char* both_end = p;  // behind the last symbol of U* that is in L too: where backtracking lets L+ end
  const char* q = p;
  while (q < end) {
    const Symbol symbol = table_.symbol(q, end);
    if ((symbol.cls & kU) == 0) break;
    q += symbol.length;
    if ((symbol.cls & kL) != 0) both_end = q;
  }
  const char* lower = table_.skip(kL, q, end);
  const char* word_end = lower != q ? lower : both_end != p || small ? both_end : q;
  return word_end == p ? p : with_contraction(word_end, end);
}

const char* O200kSplit::next(const char* p, const char* end) const {
  const Symbol symbol = table_.symbol(p, end);
  if ((symbol.cls & kLetter) != 0) return word(p, end, false);
  if (symbol.cls == kNumber) return number(table_, p, end, 3);
  const char* first = p + symbol.length;
  if (symbol.cls != kLineBreak) {
    const char* q = word(first, end, symbol.cls == kMark);
    if (q != first) return q;
  }
  // A mark is a word by itself before it is the sign in front of one that has no small letters.
  if (symbol.cls == kMark) return with_contraction(first, end);
  return beside_words(table_, p, end, symbol, true, false);
}

}  // namespace trireme
