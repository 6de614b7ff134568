// A SentencePiece `.model` as a tokenizer: normalization, unigram or BPE, byte fallback, and decoding as the
// original's.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "tokenizer/spec.h"
#include "tokenizer/spm_bpe.h"
#include "tokenizer/spm_model.h"
#include "tokenizer/spm_normalizer.h"
#include "tokenizer/spm_unigram.h"
#include "tokenizer/text_model.h"

namespace trireme {

/// How text between special tokens begins, as transformers' LlamaTokenizer has it.
struct SpmOptions {
  bool legacy = true;            // every stretch begins like a text of its own
  bool add_prefix_space = true;  // not legacy: the first stretch begins with the dummy space
};

class SentencePiece : public TextModel {
 public:
  /// `spec` is spm_spec(model), with further added tokens behind the pieces; `where` names the model in errors.
  SentencePiece(SpmModel model, const TokenizerSpec& spec, const SpmOptions& options, const std::string& where);

  std::unique_ptr<TextEncoder> encoder() const override;
  void decode(std::string& out, int32_t id, DecodeState& state) const override;
  void finish(std::string& out, DecodeState& state) const override;

 private:
  class Worker;

  void put_bytes(std::string& out, DecodeState& state, bool all) const;

  SpmModel model_;
  SpmOptions options_;
  std::vector<std::string> added_;  // texts of the tokens behind the pieces
  SpmNormalizer normalizer_;
  std::variant<SpmUnigram, SpmBpe> algorithm_;
  int32_t space_id_ = -1;  // of the piece that is one space
};

/// Pieces as tokens: spaces and bytes as what they stand for; control pieces and the unknown piece are special; roles
/// of the pieces that the model names.
TokenizerSpec spm_spec(const SpmModel& model);

}  // namespace trireme
