#include "tokenizer/train.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/pair_counts.h"

namespace trireme {
namespace {

constexpr size_t kProgressEvery = 64;  // merges

/// Places of pairs that are remembered (pair_counts.h): so many that symbols, places and what rounds take beside them
/// stay below twice the size of the text.
size_t max_places(size_t text_bytes, const SymbolText& symbols) {
  constexpr size_t kLeast = size_t{4} << 20, kBytesAPlace = 6;
  return std::max(kLeast, (2 * text_bytes - std::min(2 * text_bytes, symbols.memory_bytes())) / kBytesAPlace);
}

void check_special(const std::vector<std::string>& tokens) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& token : tokens) {
    const auto refuse = [&](const char* fault) { throw ConfigError(cat("special token '", token, "' is ", fault)); };
    if (token.size() < 2) refuse("shorter than two bytes");
    if (find_invalid_utf8(token) != std::string_view::npos) refuse("not UTF-8");
    if (!seen.insert(token).second) refuse("there twice");
  }
}

/// The tokens and merges so far.
class Growth {
 public:
  Growth(const std::vector<std::string>& special, int64_t max_token_length)
      : special_(special), limit_(max_token_length) {
    for (const uint8_t byte : alphabet_order()) {
      byte_ids_[byte] = static_cast<int32_t>(spec_.tokens.size());
      spec_.tokens.emplace_back(1, static_cast<char>(byte));
      limit_.add(spec_.tokens.back());
    }
  }

  const std::array<int32_t, 256>& byte_ids() const { return byte_ids_; }
  const LengthLimit& limit() const { return limit_; }
  size_t num_tokens() const { return spec_.tokens.size(); }

  /// The new token that the pair becomes, or none where the files would take it for a special one. It is always new:
  /// what merges make of a string between two token borders depends on nothing outside.
  std::optional<int32_t> join(SymbolPair pair) {
    const auto left = static_cast<int32_t>(pair >> 32), right = static_cast<int32_t>(pair & 0xFFFFFFFF);
    std::string bytes = spec_.tokens[static_cast<size_t>(left)] + spec_.tokens[static_cast<size_t>(right)];
    if (std::find(special_.begin(), special_.end(), spell_bytes(bytes)) != special_.end()) return std::nullopt;
    const auto product = static_cast<int32_t>(spec_.tokens.size());
    limit_.add(bytes);
    spec_.tokens.push_back(std::move(bytes));
    spec_.merges.push_back({left, right, product});
    return product;
  }

  TokenizerSpec finish() && {
    for (const std::string& token : special_) {
      spec_.special.push_back(static_cast<int32_t>(spec_.tokens.size()));
      spec_.tokens.push_back(token);
    }
    if (!special_.empty()) {
      for (const char* role : {"bos_token", "eos_token", "unk_token"}) spec_.roles[role] = spec_.special[0];
    }
    return std::move(spec_);
  }

 private:
  const std::vector<std::string>& special_;
  LengthLimit limit_;
  TokenizerSpec spec_;
  std::array<int32_t, 256> byte_ids_{};
};

/// Makes tokens until there are as many as asked for. What the text takes is given back at its end.
void learn(Growth& growth, PieceCounts pieces, size_t text_bytes, const TrainOptions& options) {
  SymbolText text(std::move(pieces), growth.byte_ids());
  PairCounts counts(text, growth.limit(), options.min_frequency, max_places(text_bytes, text));

  const size_t wanted = static_cast<size_t>(options.vocab_size) - options.special_tokens.size();
  const auto report = [&] {
    if (options.progress) {
      options.progress(static_cast<int64_t>(growth.num_tokens()) - 256, static_cast<int64_t>(wanted) - 256);
    }
  };
  while (growth.num_tokens() < wanted) {
    const std::optional<SymbolPair> pair = counts.best();
    if (!pair) {
      log_warn(cat("tokenizer: the corpus has pairs for ", growth.num_tokens() - 256, " merges only, ", wanted - 256,
                   " were asked for; the vocabulary has ", growth.num_tokens() + options.special_tokens.size(),
                   " tokens (more text, or a lower min_frequency, gives more)"));
      break;
    }
    const std::optional<int32_t> product = growth.join(*pair);
    if (!product) {
      counts.drop(*pair);
      continue;
    }
    counts.merge(*pair, *product);
    if (growth.num_tokens() % kProgressEvery == 0) report();
  }
  report();
}

}  // namespace

BpeTrainer::BpeTrainer(TrainOptions options) : options_(std::move(options)) {
  check_special(options_.special_tokens);
  const auto least = static_cast<int64_t>(256 + options_.special_tokens.size());
  if (options_.vocab_size < least || options_.vocab_size > SymbolText::kMaxSymbols) {
    throw ConfigError(cat("vocabulary size ", options_.vocab_size, " is impossible; expected at least ", least,
                          " (256 bytes and ", options_.special_tokens.size(), " special tokens) and at most ",
                          SymbolText::kMaxSymbols));
  }
}

void BpeTrainer::add(std::string_view text, bool ended) {
  text_bytes_ += text.size();
  if (rest_.empty()) {
    rest_ = text.substr(count_pieces(text, ended));
    return;
  }
  rest_.append(text);
  if (!ended && rest_.size() < 2 * tried_) return;  // a piece that long is not looked through again for every part
  rest_.erase(0, count_pieces(rest_, ended));
}

/// The bytes of those that are certain: what comes behind may change only the last piece and the one before it.
size_t BpeTrainer::count_pieces(std::string_view text, bool ended) {
  constexpr size_t kAhead = 16;  // no piece depends on more bytes behind its end
  const char* end = text.data() + text.size();
  const char* p = text.data();
  while (p < end) {
    const char* next = split_.next(p, end);
    if (!ended && static_cast<size_t>(end - next) < kAhead) break;
    pieces_.add({p, static_cast<size_t>(next - p)});
    p = next;
  }
  tried_ = static_cast<size_t>(end - p);
  return text.size() - tried_;
}

Tokenizer BpeTrainer::train() && {
  Growth growth(options_.special_tokens, options_.max_token_length);
  learn(growth, std::move(pieces_), text_bytes_, options_);
  return Tokenizer(std::move(growth).finish());
}

Tokenizer train_bpe(std::span<const std::string_view> texts, const TrainOptions& options) {
  BpeTrainer trainer(options);
  for (const std::string_view text : texts) trainer.add(text);
  return std::move(trainer).train();
}

}  // namespace trireme
