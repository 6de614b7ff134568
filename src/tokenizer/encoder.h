// Bulk encoding: one Encoder a thread over a shared Tokenizer. Most pieces of real text are few and short,
// so a cache (piece_cache.h) answers nearly all of them; the rest is merged in scratch memory that is kept. No piece
// allocates, but for the output's growth.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/regex.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/jieba.h"
#include "tokenizer/piece_cache.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

class Encoder {
 public:
  static constexpr size_t kCacheSlots = PieceCache::kSlots;

  /// `tokenizer` must outlive the encoder; `cache_slots` is a power of two.
  explicit Encoder(const Tokenizer& tokenizer, size_t cache_slots = kCacheSlots);

  /// Appends the ids of `text` to `out`; see Tokenizer::encode.
  void encode(std::vector<int32_t>& out, std::string_view text, bool special = false);

 private:
  /// Calls on_text with the stretches of text between the tokens that are found in it.
  template <class F>
  void around_tokens(std::vector<int32_t>& out, const AddedTokens& added, std::string_view text, F on_text);
  void encode_words(std::vector<int32_t>& out, std::string_view text);
  void encode_text(std::vector<int32_t>& out, std::string_view text, bool head);
  void encode_normalized(std::vector<int32_t>& out, std::string_view text, bool head);
  void encode_pieces(std::vector<int32_t>& out, std::string_view text, bool head);
  void encode_piece(std::vector<int32_t>& out, std::string_view piece, const char* text_end);

  const Tokenizer* tokenizer_;
  size_t limit_ = 0, normalized_ = 0, pieced_ = 0;  // bytes that the text may become, and has
  bool special_ = false;                            // of the call
  ModelScratch scratch_;
  RegexScratch regex_scratch_;
  Pieces pieces_;
  PieceCache cache_;
  std::unique_ptr<TextEncoder> other_;  // of a TextModel
  Jieba::Scratch jieba_scratch_;
  std::vector<std::string_view> words_;
};

}  // namespace trireme
