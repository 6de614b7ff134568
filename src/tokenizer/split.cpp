#include "tokenizer/split.h"

namespace trireme {
namespace {

/// Length of the contraction at the apostrophe p, or 0. Small ASCII letters only, as the pattern has it.
int contraction(const char* p, const char* end) {
  if (end - p < 2) return 0;
  const char a = p[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (end - p < 3) return 0;
  const char b = p[2];
  return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? 3 : 0;
}

}  // namespace

const char* Gpt2Split::next(const char* p, const char* end) const {
  if (*p == '\'') {
    if (const int length = contraction(p, end)) return p + length;
  }
  const char* first = *p == ' ' && p + 1 < end ? p + 1 : p;
  Symbol symbol = table_.symbol(first, end);
  if (symbol.cls != CharClass::space) return table_.skip(symbol.cls, first + symbol.length, end);

  // White space: the last symbol of a longer run is left to what follows, which may start with a space.
  const char* last = p;
  const char* q = p;
  for (; q < end; q += symbol.length) {
    symbol = table_.symbol(q, end);
    if (symbol.cls != CharClass::space) return last == p ? q : last;
    last = q;
  }
  return end;
}

}  // namespace trireme
