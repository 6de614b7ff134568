// One rendering: the memory of its values, what it may still spend, and where in the template it is. Everything that
// takes time or memory in proportion to its input charges for it here, so no template can hang or fill the memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "chat/limits.h"
#include "chat/value.h"

namespace trireme::jinja {

/// Errors of a template. `line` is filled in where it is known; ConfigError is made of it at the border of the room.
struct TemplateError {
  int line;
  std::string text;
};

struct Run {
  explicit Run(const Limits& bounds) : limits(bounds) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Memory for `count` values, kept until the run ends. T's destructor is never called.
  template <class T>
  T* array(int64_t count) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 16);
    T* data = reinterpret_cast<T*>(take(count, sizeof(T)));
    for (int64_t i = 0; i < count; ++i) new (data + i) T();
    return data;
  }
  template <class T>
  T* make(T value) {
    T* place = array<T>(1);
    *place = value;
    return place;
  }
  /// A copy of `text` that lives as long as the run.
  std::string_view keep(std::string_view text);

  Value list(std::span<const Value> values, Kind kind = Kind::list);
  Value tuple(std::span<const Value> values) { return list(values, Kind::tuple); }
  Value generator(std::span<const Value> values, std::string_view failure = {});
  Value undefined(std::string_view hint) { return missing({hint, {}, nullptr, false}); }
  Value missing(const Missing& reason);

  /// Charges `amount` of work; an error where the limit is passed.
  void work(int64_t amount = 1) {
    spent += amount;
    if (spent > limits.steps) fail_steps();
  }
  /// Charges memory of other owners (text under construction); given back with a negative number.
  void hold(int64_t bytes) {
    held += bytes;
    if (held > limits.memory) fail_memory();
  }

  /// An error where so many bytes more would be too much.
  void room(int64_t bytes) const {
    if (bytes > limits.memory - held) fail_memory();
  }

  [[noreturn]] void fail(std::string text) const { throw TemplateError{line, std::move(text)}; }
  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_memory() const;

  Limits limits;
  int line = 0;
  int64_t spent = 0, held = 0;
  int depth = 0;    // of nested evaluation
  int64_t now = 0;  // seconds since 1970, for strftime_now

 private:
  char* take(int64_t count, size_t size);

  std::vector<std::unique_ptr<char[]>> chunks_;
  char* at_ = nullptr;
  int64_t left_ = 0;
};

/// Counts one level of nesting while it lives. An error where there are too many: the stack of the machine is finite.
class Nested {
 public:
  explicit Nested(Run& run) : run_(run) {
    if (++run_.depth > run_.limits.depth) fail();
  }
  ~Nested() { --run_.depth; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  [[noreturn]] void fail();
  Run& run_;
};

/// Text under construction, within the memory of a run.
class Text {
 public:
  explicit Text(Run& run) : run_(run) {}
  ~Text() { run_.held -= charged_; }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  Text& operator<<(std::string_view text) {
    charge(static_cast<int64_t>(text.size()));
    out_ += text;
    return *this;
  }
  Text& fill(int64_t count, char c) {
    if (count <= 0) return *this;
    charge(count);
    out_.append(static_cast<size_t>(count), c);
    return *this;
  }
  Text& code_point(uint32_t c);

  std::string_view view() const { return out_; }
  size_t size() const { return out_.size(); }
  std::string take() { return std::move(out_); }
  /// The text as a value of the run.
  Value value() const { return run_.keep(out_); }
  Run& run() { return run_; }

 private:
  void charge(int64_t bytes) {
    run_.hold(bytes);
    charged_ += bytes;
    run_.work(bytes / 16);
  }
  Run& run_;
  std::string out_;
  int64_t charged_ = 0;
};

}  // namespace trireme::jinja
