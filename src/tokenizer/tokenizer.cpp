#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <bit>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "tokenizer/encoder.h"
#include "tokenizer/read.h"
#include "tokenizer/read_parts.h"
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

/// How the added tokens are found: those that the spec describes, and special tokens by their bytes.
std::vector<AddedTokens::Entry> entries_of(const TokenizerSpec& spec, bool normalized, const Normalizer& normalizer) {
  std::vector<AddedTokens::Entry> entries;
  RegexScratch scratch;
  std::unordered_set<int32_t> described;
  for (const AddedToken& token : spec.added) {
    described.insert(token.id);
    if (token.normalized != normalized) continue;
    entries.push_back({token, std::binary_search(spec.special.begin(), spec.special.end(), token.id)});
    if (normalized) {
      const size_t limit = token_growth_limit(token.content.size());
      if (auto content = normalizer.apply(token.content, limit, scratch)) entries.back().token.content = *content;
    }
  }
  for (const int32_t id : spec.special) {
    if (!normalized && !described.contains(id)) entries.push_back({{id, spec.tokens[static_cast<size_t>(id)]}, true});
  }
  return entries;
}

void append_rules(std::vector<std::byte>& all, const TokenizerSpec& spec) {
  for (const NormalizerRule& rule : spec.normalizer) {
    append(all, cat("normalizer ", static_cast<int>(rule.kind), rule.left, rule.right));
    append(all, rule.pattern);
    append(all, rule.content);
  }
  for (const PieceRule& rule : spec.pieces) {
    append(all, cat("piece ", static_cast<int>(rule.kind), " ", static_cast<int>(rule.scanner), " ",
                    static_cast<int>(rule.behavior), rule.invert));
    if (rule.length > 0) append(all, cat("length ", rule.length));
    append(all, rule.text);
    append(all, rule.content);
  }
  for (const AddedToken& token : spec.added) {
    append(all, cat("added ", token.id, " ", token.lstrip, token.rstrip, token.single_word, token.normalized));
    append(all, token.content);
  }
  const ModelRules& model = spec.model;
  append(all, cat(model.byte_level, model.byte_fallback, model.fuse_unk, model.ignore_merges, " ", model.unk));
  for (const std::string& token : model.spellings) append(all, token);
  if (!model.prefix.empty() || !model.suffix.empty()) {
    append(all, model.prefix);
    append(all, model.suffix);
  }
  append(all, raw(model.scores));
}

bool is_gpt2(const TokenizerSpec& spec) {
  const ModelRules& model = spec.model;
  return spec.normalizer.empty() && spec.added.empty() && spec.pieces.size() == 1 &&
         spec.pieces[0].kind == PieceRule::Kind::scanner && spec.pieces[0].scanner == SplitPattern::gpt2 &&
         model.byte_level && !model.ignore_merges && model.unk < 0;
}

uint64_t fingerprint_of(const TokenizerSpec& spec, const std::vector<std::pair<std::string, std::string>>& files) {
  std::vector<std::byte> all;
  for (const auto& [name, content] : files) {
    append(all, name);
    append(all, content);
  }
  append(all, cat("gpt2 split, Unicode ", kUnicodeVersion));
  for (const std::string& token : spec.tokens) append(all, token);
  append(all, raw(spec.merges));
  append(all, raw(spec.special));
  if (!is_gpt2(spec)) append_rules(all, spec);  // token files of GPT-2's kind keep their fingerprint
  return hash64(all);
}

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec) : Tokenizer(TokenizerParts{std::move(spec), nullptr, nullptr, {}}) {}

Tokenizer::Tokenizer(TokenizerParts parts)
    : spec_(std::move(parts.spec)),
      normalizer_(spec_.normalizer),
      added_(parts.model != nullptr && parts.model->finds_special() ? std::vector<AddedTokens::Entry>()
                                                                    : entries_of(spec_, false, normalizer_)),
      added_normalized_(entries_of(spec_, true, normalizer_)),
      pre_tokenizer_(spec_.pieces),
      decode_chain_(spec_.decode),
      bpe_(spec_),
      unigram_(spec_.model.scores.empty() ? std::nullopt : std::optional<Unigram>(spec_)),
      model_(std::move(parts.model)),
      jieba_(std::move(parts.jieba)),
      files_(std::move(parts.files)),
      fingerprint_(fingerprint_of(spec_, files_)) {}

Tokenizer Tokenizer::load(const std::string& path) { return Tokenizer(read_parts(path)); }

void Tokenizer::save(const std::string& folder, FileSystem& fs) const {
  for (const auto& [name, content] : files_) write_file(cat(folder, "/", name), content, fs);
  if (!files_.empty()) return;
  if (!is_gpt2(spec_)) {
    throw ConfigError(cat(folder, ": this tokenizer is not of GPT-2's kind, the only one that is written; copy the ",
                          "files that it was read from"));
  }
  write_tokenizer(spec_, folder, fs);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool special) const {
  // A cache that suits the text: clearing a large one would cost more than encoding a prompt.
  Encoder encoder(*this, std::bit_ceil(std::clamp<size_t>(text.size() / 8, 16, Encoder::kCacheSlots)));
  std::vector<int32_t> out;
  encoder.encode(out, text, special);
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string out;
  DecodeState state;
  for (const int32_t id : ids) decode_next(out, id, state);
  decode_end(out, state);
  return out;
}

void Tokenizer::decode_next(std::string& out, int32_t id, DecodeState& state) const {
  const std::string_view bytes = state.first ? first_token(id) : token(id);
  const std::vector<int32_t>& holes = spec_.decode.holes;
  state.first = state.first && std::binary_search(holes.begin(), holes.end(), id);
  if (model_ != nullptr) {
    model_->decode(out, id, state);
  } else if (decode_chain_.empty()) {
    out += bytes;
  } else if (!decode_chain_.has_token_steps()) {
    decode_chain_.push_text(out, bytes, state);
  } else if (const std::string& spelling = spec_.decode.spellings[static_cast<size_t>(id)]; !spelling.empty()) {
    decode_chain_.push_token(out, spelling, state);
  }
}

void Tokenizer::decode_end(std::string& out, DecodeState& state) const {
  if (model_ != nullptr) return model_->finish(out, state);
  decode_chain_.finish(out, state);
}

std::string_view Tokenizer::first_token(int32_t id) const {
  const auto found = spec_.decode.first.find(id);
  return found == spec_.decode.first.end() ? token(id) : std::string_view(found->second);
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

std::optional<int32_t> Tokenizer::eos_id() const {
  const auto found = spec_.roles.find("eos_token");
  return found == spec_.roles.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace trireme
