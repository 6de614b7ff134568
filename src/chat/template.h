// A chat template: Jinja2 as Hugging Face transformers renders it. Compiled once, rendered for any messages, by any
// number of threads. What a template may cost is bounded; its errors are ConfigErrors that name the line.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "chat/limits.h"

namespace trireme {

namespace jinja {
struct Tree;
}

/// What a template made of its variables.
struct RenderedText {
  std::string text;
  /// The parts that {% generation %} encloses, as [begin, end) bytes of `text`: what the assistant says. As in
  /// transformers, such a block inside of a macro or captured text counts from where the whole text then ends; never
  /// past the end of `text`.
  std::vector<std::pair<size_t, size_t>> generated;
};

class Template {
 public:
  /// ConfigError "<where>: line N: ..." where `source` is no template, or uses what no chat template may use.
  Template(std::string_view source, std::string where);
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  /// Renders with `variables`, an object, as global variables. `now`, in seconds since 1970, is what strftime_now
  /// shows. Text that is not UTF-8 gets U+FFFD for the bytes that are not. ConfigError for what goes wrong: the
  /// template's own raise_exception, an operation on a value that does not have it, a limit passed.
  RenderedText render(const Json& variables, int64_t now, const jinja::Limits& limits = {}) const;

 private:
  std::unique_ptr<jinja::Tree> tree_;
  std::string where_;
};

}  // namespace trireme
