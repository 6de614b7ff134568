#include "chat/run.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/strings.h"

namespace trireme::jinja {
namespace {

constexpr int64_t kChunk = 64 << 10;

}  // namespace

char* Run::take(int64_t count, size_t size) {
  if (count > limits.memory / static_cast<int64_t>(size)) fail_memory();
  const int64_t bytes = (count * static_cast<int64_t>(size) + 15) / 16 * 16;
  hold(bytes);
  if (bytes > left_) {
    const int64_t chunk = std::max(bytes, kChunk);
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(static_cast<size_t>(chunk)));
    if (bytes > kChunk / 2) return chunks_.back().get();  // the rest of the current chunk is still good
    at_ = chunks_.back().get();
    left_ = chunk;
  }
  char* out = at_;
  at_ += bytes;
  left_ -= bytes;
  return out;
}

std::string_view Run::keep(std::string_view text) {
  if (text.empty()) return {};
  char* data = take(static_cast<int64_t>(text.size()), 1);
  std::memcpy(data, text.data(), text.size());
  return {data, text.size()};
}

Value Run::list(std::span<const Value> values, Kind kind) {
  Sequence sequence;
  sequence.size = static_cast<int64_t>(values.size());
  Value* data = array<Value>(sequence.size);
  std::copy(values.begin(), values.end(), data);
  sequence.data = data;
  if (kind == Kind::tuple) sequence.name = "tuple";
  return Value(kind, make(sequence));
}

Value Run::generator(std::span<const Value> values, std::string_view failure) {
  const Value items = list(values);
  return make(Generator{items.items->data, items.items->size, 0, failure});
}

Value Run::missing(const Missing& reason) {
  Value v;
  v.missing = make(reason);
  return v;
}

void Run::fail_steps() const {
  fail(cat("the template takes more than ", limits.steps, " steps; is there a loop that is too long?"));
}

void Run::fail_memory() const { fail(cat("the template needs more than ", limits.memory, " bytes of memory")); }

void Nested::fail() {
  --run_.depth;  // the destructor does not run
  run_.fail(cat("nested deeper than ", run_.limits.depth, " levels; does a macro call itself without end?"));
}

Text& Text::code_point(uint32_t c) {
  std::string bytes;
  utf8_append(bytes, c);
  return *this << bytes;
}

}  // namespace trireme::jinja
