#include "tokenizer/sentencepiece.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "tokenizer/utf8_cut.h"

namespace trireme {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Appends `piece` with spaces where it has U+2581.
void append_spaced(std::string& out, std::string_view piece) {
  for (size_t at = 0; at < piece.size();) {
    const size_t mark = std::min(piece.find(kSpmSpace, at), piece.size());
    out += piece.substr(at, mark - at);
    if (mark < piece.size()) out += ' ';
    at = mark + kSpmSpace.size();
  }
}

std::variant<SpmUnigram, SpmBpe> make_algorithm(const SpmModel& model) {
  if (model.algorithm == SpmModel::Algorithm::bpe) return SpmBpe(model);
  return SpmUnigram(model);
}

}  // namespace

class SentencePiece::Worker : public TextEncoder {
 public:
  explicit Worker(const SentencePiece& owner) : owner_(owner) {}

  void encode(std::vector<int32_t>& out, const Stretch& stretch) override {
    const SpmOptions& options = owner_.options_;
    auto begin = SpmNormalizer::Begin::as_model;
    if (stretch.split && !options.legacy) {
      const bool prefixed = !stretch.after_special && options.add_prefix_space;
      begin = prefixed ? SpmNormalizer::Begin::prefixed : SpmNormalizer::Begin::inside;
    }
    owner_.normalizer_.normalize(normalized_, stretch.text, begin);
    if (normalized_.empty()) return;
    const size_t first = out.size();
    if (const auto* unigram = std::get_if<SpmUnigram>(&owner_.algorithm_)) {
      unigram->encode(out, normalized_, unigram_);
    } else {
      if (!bpe_) bpe_ = std::make_unique<SpmBpe::Scratch>();
      std::get<SpmBpe>(owner_.algorithm_).encode(out, normalized_, owner_.normalizer_, *bpe_);
    }
    const bool lone_space = out.size() == first + 1 && out.back() == owner_.space_id_;
    if (begin == SpmNormalizer::Begin::prefixed && stretch.before_special && lone_space) out.pop_back();
  }

 private:
  const SentencePiece& owner_;
  std::string normalized_;
  SpmUnigram::Scratch unigram_;
  std::unique_ptr<SpmBpe::Scratch> bpe_;
};

SentencePiece::SentencePiece(SpmModel model, const TokenizerSpec& spec, const SpmOptions& options,
                             const std::string& where)
    : model_(std::move(model)),
      options_(options),
      added_(spec.tokens.begin() + static_cast<std::ptrdiff_t>(model_.pieces.size()), spec.tokens.end()),
      normalizer_(model_, where),
      algorithm_(make_algorithm(model_)) {
  for (size_t id = 0; id < model_.pieces.size(); ++id) {
    if (model_.pieces[id].text == kSpmSpace) space_id_ = static_cast<int32_t>(id);
  }
}

std::unique_ptr<TextEncoder> SentencePiece::encoder() const { return std::make_unique<Worker>(*this); }

void SentencePiece::decode(std::string& out, int32_t id, DecodeState& state) const {
  const auto index = static_cast<size_t>(id);
  const bool added = index >= model_.pieces.size();
  if (!added && model_.pieces[index].type == SpmPiece::Type::byte) {
    state.bytes += static_cast<char>(byte_of_piece(model_.pieces[index].text));
    put_bytes(out, state, false);
    return;
  }
  finish(out, state);
  if (added) {
    out += added_[index - model_.pieces.size()];
    state.begun = true;
    return;
  }
  const SpmPiece& piece = model_.pieces[index];
  if (piece.type == SpmPiece::Type::control) return;
  std::string_view text = piece.text;
  const bool drops_space = model_.add_dummy_prefix || model_.remove_extra_spaces;
  const size_t before = out.size();
  if (piece.type == SpmPiece::Type::unknown) {
    out += model_.unk_surface;
  } else {
    if (drops_space && !state.begun && !state.dropped_space && text.starts_with(kSpmSpace)) {
      text.remove_prefix(kSpmSpace.size());
      state.dropped_space = !model_.remove_extra_spaces;  // else all spaces at the begin go
    }
    append_spaced(out, text);
  }
  state.begun = state.begun || out.size() > before;
}

void SentencePiece::finish(std::string& out, DecodeState& state) const { put_bytes(out, state, true); }

/// Puts out the characters that state.bytes hold, U+FFFD for bytes that are none; keeps what may still become one,
/// unless `all` must go.
void SentencePiece::put_bytes(std::string& out, DecodeState& state, bool all) const {
  const size_t before = out.size();
  const size_t keep = all ? 0 : cut_length(state.bytes);
  const std::string_view bytes = std::string_view(state.bytes).substr(0, state.bytes.size() - keep);
  for (size_t i = 0; i < bytes.size();) {
    const int length = utf8_length(bytes, i);
    out += length == 0 ? kReplacement : bytes.substr(i, static_cast<size_t>(length));
    i += static_cast<size_t>(std::max(length, 1));
  }
  state.bytes.erase(0, bytes.size());
  state.begun = state.begun || out.size() > before;
}

TokenizerSpec spm_spec(const SpmModel& model) {
  TokenizerSpec spec;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    std::string text;
    if (piece.type == SpmPiece::Type::byte) {
      text = static_cast<char>(byte_of_piece(piece.text));
    } else {
      append_spaced(text, piece.text);
    }
    spec.tokens.push_back(std::move(text));
    const auto as_id = static_cast<int32_t>(id);
    const bool control = piece.type == SpmPiece::Type::control;
    if (control || piece.type == SpmPiece::Type::unknown) spec.special.push_back(as_id);
    if (piece.type == SpmPiece::Type::unknown) spec.roles["unk_token"] = as_id;
    if (control && piece.text == model.bos) spec.roles["bos_token"] = as_id;
    if (control && piece.text == model.eos) spec.roles["eos_token"] = as_id;
    if (control && piece.text == model.pad) spec.roles["pad_token"] = as_id;
  }
  return spec;
}

}  // namespace trireme
