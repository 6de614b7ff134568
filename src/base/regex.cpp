#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr size_t kStackBytes = size_t{1} << 20;  // of a search; more than any pattern in use needs
constexpr size_t kMaxPattern = size_t{1} << 16;

// White_Space, which PCRE2 10.42 has with U+180E. Within brackets, and as a class of its own.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r\x20\x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

[[noreturn]] void refuse(const std::string& pattern, size_t offset, std::string_view why) {
  throw ConfigError(cat("pattern '", pattern.substr(0, 200), "': character ", offset, ": ", why));
}

/// Length of the interval {n}, {n,}, {,m} or {n,m} at pattern[i], or 0.
size_t interval_length(const std::string& pattern, size_t i) {
  const size_t close = pattern.find_first_not_of("0123456789,", i + 1);
  return close != std::string::npos && close > i + 1 && pattern[close] == '}' ? close + 1 - i : 0;
}

/// Oniguruma's pattern as PCRE2 understands it, piece by piece.
class Translation {
 public:
  explicit Translation(const std::string& pattern) : pattern_(pattern) {
    while (i_ < pattern_.size()) step();
  }
  const std::string& text() const { return out_; }

 private:
  std::string_view rest() const { return std::string_view(pattern_).substr(i_); }
  void copy(size_t n) {
    out_ += rest().substr(0, n);
    i_ = std::min(i_ + n, pattern_.size());
  }

  void step() {
    const char c = pattern_[i_];
    if (c == '\\' && i_ + 1 < pattern_.size()) return escape();
    if (bracket_) {
      if (rest().starts_with("[:")) {
        const size_t close = pattern_.find(":]", i_);
        if (close == std::string::npos) refuse(pattern_, i_, "a [: without its :]");
        return copy(close + 2 - i_);
      }
      if (c == '[' || rest().starts_with("&&")) refuse(pattern_, i_, "classes within classes are not supported");
      bracket_ = c != ']';
      return copy(1);
    }
    if (c == '[') {
      bracket_ = true;
      atom_ = out_.size();
      copy(rest().starts_with("[^") ? 2 : 1);
      if (rest().starts_with("]")) copy(1);  // the first character of a class is never its end
      return;
    }
    if (const size_t length = c == '{' ? interval_length(pattern_, i_) : 0; length != 0) return interval(length);
    if (c == '(') groups_.push_back(out_.size());
    if (c == ')' && !groups_.empty()) {
      atom_ = groups_.back();
      groups_.pop_back();
    } else if (std::string_view("*+?").find(c) == std::string_view::npos && (static_cast<uint8_t>(c) & 0xC0) != 0x80) {
      atom_ = out_.size();
    }
    copy(1);
  }

  /// Behind an interval, Oniguruma's + and, if it is exact, ? repeat the whole instead of making it possessive or lazy.
  void interval(size_t length) {
    const bool exact = rest().substr(0, length).find(',') == std::string_view::npos;
    copy(length);
    if (rest().starts_with("+") || (exact && rest().starts_with("?"))) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
  }

  void escape() {
    const char kind = pattern_[i_ + 1];
    if (!bracket_) atom_ = out_.size();
    if (kind == 'h' || kind == 'H') refuse(pattern_, i_, R"(\h means other things to other engines; spell the class)");
    if (kind == 's' || (kind == 'S' && !bracket_)) {
      out_ += bracket_ ? std::string(kWhiteSpace) : cat(kind == 's' ? "[" : "[^", kWhiteSpace, "]");
      i_ += 2;
      return;
    }
    copy(2);
    const bool braces = std::string_view("pPxoukgN").find(kind) != std::string_view::npos && rest().starts_with("{");
    if (braces) copy(rest().find('}') == std::string_view::npos ? 1 : rest().find('}') + 1);
  }

  const std::string& pattern_;
  std::string out_;
  size_t i_ = 0;
  bool bracket_ = false;
  size_t atom_ = 0;             // where in out_ begins what a quantifier would repeat
  std::vector<size_t> groups_;  // where the open groups begin
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
