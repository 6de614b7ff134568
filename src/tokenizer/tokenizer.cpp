#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "tokenizer/encoder.h"
#include "tokenizer/read.h"
#include "tokenizer/unicode_ranges.h"
#include "tokenizer/write.h"

namespace trireme {
namespace {

void append(std::vector<std::byte>& out, std::string_view bytes) {
  const uint64_t size = bytes.size();
  const auto* size_bytes = reinterpret_cast<const std::byte*>(&size);
  const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
  out.insert(out.end(), size_bytes, size_bytes + sizeof size);
  out.insert(out.end(), data, data + bytes.size());
}

template <class T>
std::string_view raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

uint64_t fingerprint_of(const TokenizerSpec& spec) {
  std::vector<std::byte> all;
  append(all, cat("gpt2 split, Unicode ", kUnicodeVersion));
  for (const std::string& token : spec.tokens) append(all, token);
  append(all, raw(spec.merges));
  append(all, raw(spec.special));
  return hash64(all);
}

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec) : spec_(std::move(spec)), bpe_(spec_), fingerprint_(fingerprint_of(spec_)) {}

Tokenizer Tokenizer::load(const std::string& folder) { return Tokenizer(read_tokenizer(folder)); }

void Tokenizer::save(const std::string& folder, FileSystem& fs) const { write_tokenizer(spec_, folder, fs); }

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool special) const {
  // A cache that suits the text: clearing a large one would cost more than encoding a prompt.
  Encoder encoder(*this, std::bit_ceil(std::clamp<size_t>(text.size() / 8, 16, Encoder::kCacheSlots)));
  std::vector<int32_t> out;
  encoder.encode(out, text, special);
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string out;
  for (const int32_t id : ids) out += token(id);
  return out;
}

std::string_view Tokenizer::token(int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    throw ConfigError(cat("token id ", id, " is outside the vocabulary of ", vocab_size(),
                          " tokens; do the ids belong to another tokenizer?"));
  }
  return spec_.tokens[static_cast<size_t>(id)];
}

bool Tokenizer::is_special(int32_t id) const {
  return std::binary_search(spec_.special.begin(), spec_.special.end(), id);
}

std::optional<int32_t> Tokenizer::special_id(std::string_view text) const {
  const auto found =
      std::find_if(spec_.special.begin(), spec_.special.end(), [&](int32_t id) { return token(id) == text; });
  return found == spec_.special.end() ? std::nullopt : std::optional(*found);
}

std::optional<int32_t> Tokenizer::eos_id() const {
  const auto found = spec_.roles.find("eos_token");
  return found == spec_.roles.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace trireme
