#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

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

/// Oniguruma's pattern as PCRE2 understands it.
std::string translate(const std::string& pattern) {
  std::string out;
  bool bracket = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char kind = pattern[++i];
      if (kind == 'h' || kind == 'H') refuse(pattern, i, R"(\h means other things to other engines; spell the class)");
      if (kind == 's') {
        out += bracket ? std::string(kWhiteSpace) : cat("[", kWhiteSpace, "]");
      } else if (kind == 'S' && !bracket) {
        out += cat("[^", kWhiteSpace, "]");
      } else {
        out += {'\\', kind};
      }
      continue;
    }
    if (bracket && (c == '[' || (c == '&' && pattern.substr(i, 2) == "&&")) && pattern.substr(i, 2) != "[:") {
      refuse(pattern, i, "classes within classes are not supported");
    }
    if (bracket && pattern.substr(i, 2) == "[:") {
      const size_t close = pattern.find(":]", i);
      if (close == std::string::npos) refuse(pattern, i, "a [: without its :]");
      out += pattern.substr(i, close + 2 - i);
      i = close + 1;
      continue;
    }
    if (c == '[') bracket = true;
    if (c == ']') bracket = false;
    out += c;
    // The first character of a class is never its end.
    if (c == '[' && pattern.substr(i + 1, 2) == "^]") {
      out += "^]";
      i += 2;
    } else if (c == '[' && pattern.substr(i + 1, 1) == "]") {
      out += ']';
      i += 1;
    }
  }
  return out;
}

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
  const std::string translated = translate(pattern);
  int error = 0;
  size_t offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
                              &error, &offset, nullptr);
  if (code_->code == nullptr) refuse(translated, offset, message_of(error));
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);  // where there is no compiler, the interpreter serves
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::optional<RegexMatch> Regex::find(std::string_view text, size_t from, RegexScratch& scratch) const {
  if (!scratch.state_) scratch.state_ = std::make_unique<RegexScratch::State>();
  RegexScratch::State& state = *scratch.state_;
  const int count = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, 0, state.data,
                                state.context);
  if (count == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (count < 0) {
    throw IoError(cat("pattern '", pattern_.substr(0, 200), "': the search from byte ", from, " of a text of ",
                      text.size(), " bytes failed: ", message_of(count)));
  }
  const size_t* bounds = pcre2_get_ovector_pointer(state.data);
  return RegexMatch{bounds[0], std::max(bounds[0], bounds[1])};
}

}  // namespace trireme
