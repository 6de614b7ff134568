// Regular expressions for patterns that come from files, by PCRE2 with its compiler, seen nowhere but in regex.cpp.
// The patterns are those of Hugging Face's tokenizers, that is of Oniguruma with Ruby's syntax. One pass translates
// them: what is known to mean the same is copied, what PCRE2 would read otherwise is rewritten, all else is refused.
// Classes and \X are of Unicode, in the version of the PCRE2 library.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trireme {

struct RegexMatch {
  size_t begin, end;
};

/// Working memory of a search; one a thread, for any number of patterns.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  RegexScratch& operator=(RegexScratch&&) noexcept;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;  // made at the first search
};

/// Where to look for the match behind `match`: at its end, or one character on where it is empty.
size_t next_search(std::string_view text, const RegexMatch& match);

/// A compiled pattern, shared by threads.
class Regex {
 public:
  /// ConfigError with the offset within the pattern where it is malformed, or where it says what PCRE2 cannot be made
  /// to do alike.
  explicit Regex(const std::string& pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The leftmost match that begins at `from` or behind, in `text`, which need not be UTF-8: bytes that are not are
  /// never part of a match. IoError where the search needs more steps or memory than any sane pattern would.
  std::optional<RegexMatch> find(std::string_view text, size_t from, RegexScratch& scratch) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
  std::string pattern_;
};

}  // namespace trireme
