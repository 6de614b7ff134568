#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr size_t kStackBytes = size_t{1} << 20;  // of a search; more than any pattern in use needs
constexpr size_t kMaxPattern = size_t{1} << 16;

// Sets of Oniguruma, as they are written within brackets. Each ends in a way that leaves a hyphen behind it a hyphen.
struct NamedSet {
  std::string_view name, body;
};
constexpr std::string_view kDigits = R"(\p{Nd})", kHexDigits = "0-9a-fA-F";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kLoneWord = R"(\xB2\xB3\xB9\xBC-\xBE\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";  // out of brackets
// White_Space, which PCRE2 10.42 has with U+180E.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r\x20\x85\xA0\x{1680}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{2000}-\x{200A})";
constexpr NamedSet kPosixSets[] = {
    {"alnum", R"(\p{Alphabetic}\p{Nd})"},
    {"alpha", R"(\p{Alphabetic})"},
    {"ascii", R"(\x00-\x7F)"},
    {"blank", R"(\t\p{Zs})"},
    {"cntrl", R"(\p{Cc})"},
    {"digit", kDigits},
    {"lower", R"(\p{Lowercase})"},
    {"punct", R"(\p{P}\p{S})"},
    {"space", kWhiteSpace},
    {"upper", R"(\p{Uppercase})"},
    {"word", kWord},
    {"xdigit", kHexDigits},
};
constexpr std::string_view kCategories =
    " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Cn Co Any ";

// What takes part in foldings to several characters (CaseFolding.txt, status F), but for ASCII: first, last.
constexpr uint32_t kLongFolds[][2] = {{0xDF, 0xDF},     {0x130, 0x130},  {0x149, 0x149}, {0x1F0, 0x1F0},
                                      {0x2BC, 0x2BE},   {0x300, 0x3FF},  {0x530, 0x58F}, {0x1E96, 0x1E9E},
                                      {0x1F00, 0x1FFF}, {0xFB00, 0xFB17}};

[[noreturn]] void refuse(const std::string& pattern, size_t offset, std::string_view why) {
  throw ConfigError(cat("pattern '", pattern.substr(0, 200), "': character ", offset, ": ", why));
}

bool contains(std::string_view set, char c) { return set.find(c) != std::string_view::npos; }

/// Length of the interval {n}, {n,}, {,m} or {n,m} at pattern[i], or 0.
size_t interval_length(const std::string& pattern, size_t i) {
  const size_t close = pattern.find_first_not_of("0123456789,", i + 1);
  if (close == std::string::npos || pattern[close] != '}') return 0;
  const std::string_view inner = std::string_view(pattern).substr(i + 1, close - i - 1);
  const bool is_interval =
      inner.find_first_of("0123456789") != std::string_view::npos && std::count(inner.begin(), inner.end(), ',') <= 1;
  return is_interval ? close + 1 - i : 0;
}

/// Oniguruma's pattern as PCRE2 understands it, in one pass; what is not known to mean the same is refused.
class Translation {
 public:
  explicit Translation(const std::string& pattern) : pattern_(pattern) {
    while (i_ < pattern_.size()) step();
    if (groups_.size() > 1) refuse(pattern_, i_, "a group without its )");
    close_options();
    if (named_ && numbered_) refuse(pattern_, 0, "numbered references beside named groups are not supported");
  }
  const std::string& text() const { return out_; }

 private:
  struct Group {
    size_t begin;        // in out_
    bool fold;           // case-insensitive from here on
    size_t options = 0;  // groups opened by options that hold to its end
  };

  [[noreturn]] void fail(std::string_view why) const { refuse(pattern_, i_, why); }
  std::string_view rest() const { return std::string_view(pattern_).substr(i_); }
  bool fold() const { return groups_.back().fold; }
  void copy(size_t n) {
    out_ += rest().substr(0, n);
    i_ = std::min(i_ + n, pattern_.size());
  }
  void put(std::string_view text, size_t n) {
    out_ += text;
    i_ += n;
  }

  void step() {
    const char c = pattern_[i_];
    if (contains("*+?", c)) {
      last_ = 0;
      return copy(1);
    }
    if (const size_t length = c == '{' ? interval_length(pattern_, i_) : 0; length != 0) return interval(length);
    if (c == '(') return open();
    if (c == ')') return close();
    atom_ = out_.size();
    if (c == '[') return bracket();
    if (c == '\\') return escape();
    if (contains("|.^$", c)) {
      last_ = 0;
      return copy(1);
    }
    if (c == '{') {
      last_ = 0;
      return put("\\{", 1);
    }
    literal();
  }

  /// A character that stands for itself, copied.
  void literal() {
    const int length = utf8_length(pattern_, i_);
    check_fold(length > 0 ? utf8_decode(pattern_, i_) : static_cast<uint8_t>(pattern_[i_]));
    copy(static_cast<size_t>(std::max(length, 1)));
  }

  /// Refuses what Oniguruma would compare with a longer or shorter text, such as "ss" and sharp s.
  void check_fold(uint32_t point) {
    const char folded = point < 128 ? static_cast<char>(point | (point >= 'A' && point <= 'Z' ? 32U : 0U)) : '\0';
    if (fold()) {
      bool found = (last_ == 's' && contains("st", folded)) || (last_ == 'f' && contains("fil", folded));
      found = found && folded != 0;
      for (const auto& [first, last] : kLongFolds) found = found || (point >= first && point <= last);
      if (found) fail("a case-insensitive match of several characters with one is not supported");
    }
    last_ = fold() ? folded : '\0';
  }

  void open() {
    const size_t begin = out_.size();
    if (rest().starts_with("(*")) fail("verbs and callouts are not supported");
    if (!rest().starts_with("(?")) return begin_group(1, begin, fold());
    for (const std::string_view head : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"}) {
      if (rest().starts_with(head)) return begin_group(head.size(), begin, fold());
    }
    const size_t end = pattern_.find_first_of(":)>", i_);
    if (end == std::string::npos) fail("a group without its )");
    if (rest().starts_with("(?#")) return skip_comment();
    if (rest().starts_with("(?<") && pattern_[end] == '>') {
      named_ = true;
      put("(?:", end + 1 - i_);
      groups_.push_back({begin, fold()});
      return;
    }
    options(end);
  }

  void begin_group(size_t length, size_t begin, bool fold) {
    copy(length);
    groups_.push_back({begin, fold});
  }

  void skip_comment() {
    while (i_ < pattern_.size() && pattern_[i_] != ')') i_ += pattern_[i_] == '\\' ? 2 : 1;
    if (i_ >= pattern_.size()) fail("a comment without its )");
    ++i_;
  }

  /// (?im-im: and (?im-im), whose m is PCRE2's s; the second holds for all branches up to the end of its group.
  void options(size_t end) {
    const size_t begin = out_.size();
    bool on = true, folds = fold();
    out_ += "(?";
    for (size_t k = i_ + 2; k < end; ++k) {
      const char c = pattern_[k];
      if (!contains("im-", c) || (c == '-' && !on)) fail("of groups that begin with (?, this one is not supported");
      if (c == '-') on = false;
      if (c == 'i') folds = on;
      out_ += c == 'm' ? 's' : c;
    }
    if (pattern_[end] == '>') fail("of groups that begin with (?, this one is not supported");
    out_ += ':';
    i_ = end + 1;
    if (pattern_[end] == ':') {
      groups_.push_back({begin, folds});
    } else {
      groups_.back().fold = folds;
      ++groups_.back().options;
    }
  }

  void close_options() { out_.append(groups_.back().options, ')'); }

  void close() {
    if (groups_.size() == 1) fail("a ) without its group");
    close_options();
    copy(1);
    atom_ = groups_.back().begin;
    groups_.pop_back();
  }

  /// Behind an interval, Oniguruma's + and, if it is exact, ? repeat the whole instead of making it possessive or lazy.
  void interval(size_t length) {
    const bool exact = !contains(rest().substr(0, length), ',');
    if (fold() && contains("sf", last_) && last_ != 0) fail("intervals of a case-insensitive s or f are not supported");
    put("{", 1);
    if (rest().starts_with(",")) out_ += '0';
    copy(length - 1);
    if (rest().starts_with("+") || (exact && rest().starts_with("?"))) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
  }

  /// The set that \d, \D and their like stand for, or nothing.
  static std::string_view set_of(char kind, bool lone) {
    switch (kind) {
      case 'd':
      case 'D': return kDigits;
      case 'h':
      case 'H': return kHexDigits;
      case 's':
      case 'S': return kWhiteSpace;
      case 'w':
      case 'W': return lone ? kLoneWord : kWord;
      default: return {};
    }
  }

  void escape() {
    const char kind = i_ + 1 < pattern_.size() ? pattern_[i_ + 1] : '\0';
    const char next = i_ + 2 < pattern_.size() ? pattern_[i_ + 2] : '\0';
    if (const std::string_view set = set_of(kind, true); !set.empty()) {
      last_ = 0;
      return put(cat(kind >= 'a' ? "[" : "[^", set, "]"), 2);
    }
    if (kind == 'b' || kind == 'B') {
      const std::string set = cat("[", kLoneWord, "])");
      const std::string_view ahead = kind == 'b' ? "(?!" : "(?=", opposite = kind == 'b' ? "(?=" : "(?!";
      last_ = 0;
      return put(cat("(?:(?<=", set, ahead, set, "|(?<!", set, opposite, set, ")"), 2);
    }
    if (kind >= '1' && kind <= '9') {
      if ((next >= '0' && next <= '9') || fold()) fail("this reference or octal number is not supported");
      numbered_ = true;
      return put(cat("\\g{", std::string(1, kind), "}"), 2);
    }
    if (contains("AzZRXN", kind) && kind != 0) {
      last_ = 0;
      return copy(2);
    }
    if (kind == 'v') return check_fold(0x0B), put(R"(\x0B)", 2);
    character_escape(kind);
  }

  /// Escapes that mean the same within brackets.
  void character_escape(char kind) {
    if (kind == 'p' || kind == 'P') return property();
    if (kind == 'x' || kind == 'u') return code_point(kind);
    const bool letter = (kind >= 'a' && kind <= 'z') || (kind >= 'A' && kind <= 'Z') || (kind >= '0' && kind <= '9');
    if (kind <= 0 || (letter && !contains("tnrfae", kind))) fail("this escape is not supported; spell the character");
    check_fold(letter ? 0 : static_cast<uint8_t>(kind));
    copy(2);
  }

  /// \x61, \x{61} and \u0061.
  void code_point(char kind) {
    const bool braces = kind == 'x' && rest().substr(2).starts_with("{");
    const size_t begin = i_ + (braces ? 3 : 2),
                 end =
                     std::min(pattern_.find_first_not_of("0123456789abcdefABCDEF", begin), begin + (braces        ? 8
                                                                                                    : kind == 'x' ? 2
                                                                                                                  : 4));
    const size_t digits = std::min(end, pattern_.size()) - begin;
    const bool closed = !braces || (end < pattern_.size() && pattern_[end] == '}');
    if (digits == 0 || !closed || (!braces && digits != (kind == 'x' ? 2U : 4U))) fail("a malformed code point");
    const std::string hex = pattern_.substr(begin, digits);
    const unsigned long point = std::stoul(hex, nullptr, 16);
    if (kind == 'x' && !braces && point > 127) fail("single bytes beyond ASCII are not supported; write \\x{...}");
    check_fold(static_cast<uint32_t>(point));
    put(cat("\\x{", hex, "}"), begin - i_ + digits + (braces ? 1 : 0));
  }

  /// \p{Name}: a general category, or a script, which PCRE2 would widen to its extensions.
  void property() {
    const size_t close = rest().find('}');
    if (!rest().substr(2).starts_with("{") || close == std::string_view::npos) fail("\\p without its {name}");
    std::string_view name = rest().substr(3, close - 3);
    const bool inverted = name.starts_with("^");
    name.remove_prefix(inverted ? 1 : 0);
    if (name.empty() || contains(name, ' ') || contains(name, ':') || contains(name, '=')) fail("a malformed property");
    const bool known = kCategories.find(cat(" ", name, " ")) != std::string_view::npos || name == "Alphabetic" ||
                       name == "White_Space";
    const bool positive = (rest()[1] == 'p') != inverted;
    last_ = 0;
    put(cat(positive ? "\\p{" : "\\P{", known ? "" : "sc:", name, "}"), close + 1);
  }

  /// A class. PCRE2 10.42 has no classes within classes, so sets that are complements become branches beside it.
  void bracket() {
    const size_t begin = out_.size();
    const bool negative = rest().starts_with("[^");
    std::string others;
    i_ += negative ? 2 : 1;
    if (rest().starts_with("]")) copy(1);  // the first character of a class is never its end
    while (!rest().starts_with("]")) {
      if (i_ >= pattern_.size()) fail("a class without its ]");
      last_ = 0;
      class_item(begin, others);
    }
    ++i_;
    last_ = 0;
    const std::string body = out_.substr(begin);
    out_.resize(begin);
    const std::string plain = body.empty() ? std::string() : cat(negative && others.empty() ? "[^" : "[", body, "]");
    if (others.empty()) {
      out_ += plain;
    } else {
      const std::string branches = cat(plain, body.empty() ? others.substr(1) : others);
      out_ += negative ? cat("(?:(?!", branches, ")\\p{Any})") : cat("(?:", branches, ")");
    }
  }

  void class_item(size_t begin, std::string& others) {
    if (rest().starts_with("[:")) return posix(begin, others);
    if (rest().starts_with("[") || rest().starts_with("&&")) fail("classes within classes are not supported");
    if (pattern_[i_] != '\\') return literal();
    const char kind = i_ + 1 < pattern_.size() ? pattern_[i_ + 1] : '\0';
    if (const std::string_view set = set_of(kind, false); !set.empty())
      return add_set(set, kind < 'a', 2, begin, others);
    if (kind == 'v' || kind == 'b') return put(kind == 'v' ? R"(\x0B)" : R"(\x08)", 2);
    character_escape(kind);
  }

  void posix(size_t begin, std::string& others) {
    const size_t close = rest().find(":]");
    if (close == std::string_view::npos) fail("a [: without its :]");
    const bool inverted = rest().starts_with("[:^");
    const std::string_view name = rest().substr(inverted ? 3 : 2, close - (inverted ? 3 : 2));
    const auto* set =
        std::find_if(std::begin(kPosixSets), std::end(kPosixSets), [&](auto& s) { return s.name == name; });
    if (set == std::end(kPosixSets) || (fold() && (name == "upper" || name == "lower"))) {
      fail(cat("[:", name, ":] is not supported here"));
    }
    add_set(set->body, inverted, close + 2, begin, others);
  }

  void add_set(std::string_view set, bool inverted, size_t length, size_t begin, std::string& others) {
    if (out_.size() > begin + 1 && out_.back() == '-' && out_[out_.size() - 2] != '\\') fail("a range ends in a set");
    if (inverted) {
      others += cat("|[^", set, "]");
      i_ += length;
      if (rest().starts_with("-")) put("\\-", 1);
    } else {
      put(set, length);
    }
  }

  const std::string& pattern_;
  std::string out_;
  size_t i_ = 0;
  size_t atom_ = 0;                        // where in out_ begins what a quantifier would repeat
  std::vector<Group> groups_{{0, false}};  // the open ones, in the pattern itself
  char last_ = 0;                          // the ASCII letter just read, where case does not count
  bool named_ = false, numbered_ = false;
};

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

struct RegexScratch::State {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, kStackBytes, nullptr);
  State() {
    CHECK(data != nullptr && context != nullptr && stack != nullptr, "no memory for a search");
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

size_t next_search(std::string_view text, const RegexMatch& match) {
  if (match.end > match.begin || match.end >= text.size()) return match.end + (match.end == match.begin);
  return match.end + static_cast<size_t>(std::max(utf8_length(text, match.end), 1));
}

RegexScratch::RegexScratch() = default;
RegexScratch::~RegexScratch() = default;
RegexScratch::RegexScratch(RegexScratch&&) noexcept = default;
RegexScratch& RegexScratch::operator=(RegexScratch&&) noexcept = default;

Regex::Regex(const std::string& pattern) : code_(std::make_unique<Code>()), pattern_(pattern) {
  if (pattern.size() > kMaxPattern) {
    throw ConfigError(cat("a pattern of ", pattern.size(), " bytes; at most ", kMaxPattern, " are supported"));
  }
  const std::string translated = Translation(pattern).text();
  int error = 0;
  size_t offset = 0;
  code_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, nullptr);
  if (code_->code == nullptr) refuse(translated, offset, message_of(error));
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);  // where there is no compiler, the interpreter serves
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::optional<RegexMatch> Regex::find(std::string_view text, size_t from, RegexScratch& scratch) const {
  if (!scratch.state_) scratch.state_ = std::make_unique<RegexScratch::State>();
  RegexScratch::State& state = *scratch.state_;
  const int count = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, 0,
                                state.data, state.context);
  if (count == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (count < 0) {
    throw IoError(cat("pattern '", pattern_.substr(0, 200), "': the search from byte ", from, " of a text of ",
                      text.size(), " bytes failed: ", message_of(count)));
  }
  const size_t* bounds = pcre2_get_ovector_pointer(state.data);
  return RegexMatch{bounds[0], std::max(bounds[0], bounds[1])};
}

}  // namespace trireme
