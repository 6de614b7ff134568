#include "tokenizer/encoder.h"

#include <optional>
#include <string>

namespace trireme {

Encoder::Encoder(const Tokenizer& tokenizer, size_t cache_slots) : tokenizer_(&tokenizer), cache_(cache_slots) {
  if (tokenizer.model() != nullptr) other_ = tokenizer.model()->encoder();
}

void Encoder::encode(std::vector<int32_t>& out, std::string_view text, bool special) {
  special_ = special;
  limit_ = growth_limit(text.size());
  normalized_ = pieced_ = 0;
  around_tokens(out, tokenizer_->added(), text, [&](std::string_view part) {
    const bool head = part.data() == text.data();
    const bool tail = part.data() + part.size() == text.data() + text.size();
    if (other_ != nullptr) return other_->encode(out, {part, special, !head, !tail});
    if (tokenizer_->jieba() != nullptr) return encode_words(out, part);
    encode_text(out, part, head);
  });
}

/// Every word is a text of its own.
void Encoder::encode_words(std::vector<int32_t>& out, std::string_view text) {
  words_.clear();
  tokenizer_->jieba()->cut(words_, text, jieba_scratch_);
  for (const std::string_view word : words_) encode_text(out, word, true);
}

void Encoder::encode_text(std::vector<int32_t>& out, std::string_view text, bool head) {
  const std::optional<std::string> normalized = tokenizer_->normalizer().apply(text, limit_, regex_scratch_);
  if (normalized) check_growth(normalized_ += normalized->size(), limit_);
  encode_normalized(out, normalized ? *normalized : text, head);
}

template <class F>
void Encoder::around_tokens(std::vector<int32_t>& out, const AddedTokens& added, std::string_view text, F on_text) {
  if (!added.any(special_)) return on_text(text);
  std::vector<AddedTokens::Found> found;
  added.find_all(found, text, special_);
  size_t done = 0;
  for (const AddedTokens::Found& token : found) {
    if (token.begin > done) on_text(text.substr(done, token.begin - done));
    out.push_back(token.id);
    done = token.end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

void Encoder::encode_normalized(std::vector<int32_t>& out, std::string_view text, bool head) {
  around_tokens(out, tokenizer_->added_normalized(), text,
                [&](std::string_view part) { encode_pieces(out, part, head && part.data() == text.data()); });
}

void Encoder::encode_pieces(std::vector<int32_t>& out, std::string_view text, bool head) {
  const PreTokenizer& pre_tokenizer = tokenizer_->pre_tokenizer();
  if (const std::optional<SplitPattern> scanner = pre_tokenizer.scanner()) {
    with_split(*scanner, [&](const auto& split) {
      const char* end = text.data() + text.size();
      for (const char* p = text.data(); p < end;) {
        const char* next = split.next(p, end);
        encode_piece(out, {p, static_cast<size_t>(next - p)}, end);
        p = next;
      }
    });
    return;
  }
  pieces_.text = text;
  pieces_.head = head;
  pre_tokenizer.apply(pieces_, limit_, regex_scratch_);
  check_growth(pieced_ += pieces_.text.size(), limit_);
  const char *begin = pieces_.text.data(), *end = begin + pieces_.text.size();
  for (const Span span : pieces_.spans) encode_piece(out, {begin + span.begin, span.end - span.begin}, end);
}

void Encoder::encode_piece(std::vector<int32_t>& out, std::string_view piece, const char* text_end) {
  cache_.append(out, piece, text_end,
                [&](std::vector<int32_t>& ids) { tokenizer_->apply_model(ids, piece, scratch_); });
}

}  // namespace trireme
