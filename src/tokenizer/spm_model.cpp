#include "tokenizer/spm_model.h"

#include <array>
#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "tokenizer/protobuf.h"

namespace trireme {
namespace {

constexpr size_t kMaxPieceBytes = 8000;  // the limit of SentencePiece itself

SpmPiece read_piece(const ProtoField& at) {
  SpmPiece piece;
  ProtoReader reader = at.message();
  for (ProtoField field; reader.next(field);) {
    switch (field.number()) {
      case 1: piece.text = field.bytes(); break;
      case 2: piece.score = field.real(); break;
      case 3:
        if (field.integer() < 1 || field.integer() > 6)
          field.fail(cat("a piece of the unknown type ", field.integer()));
        piece.type = static_cast<SpmPiece::Type>(field.integer());
        break;
      default: break;
    }
  }
  if (piece.text.empty()) at.fail("a piece is empty");
  if (piece.text.size() >= kMaxPieceBytes) at.fail(cat("a piece has ", piece.text.size(), " bytes"));
  if (piece.text.find('\0') != std::string::npos) at.fail("a piece has a zero byte");
  if (!std::isfinite(piece.score)) at.fail(cat("the score of '", piece.text, "' is ", piece.score));
  return piece;
}

void read_trainer(SpmModel& model, const ProtoField& at, const std::string& where) {
  ProtoReader reader = at.message();
  for (ProtoField field; reader.next(field);) {
    switch (field.number()) {
      case 3:
        if (field.integer() != 1 && field.integer() != 2) {
          throw ConfigError(cat(where, ": a SentencePiece model of model_type ", field.integer(),
                                " is not supported; expected unigram (1) or bpe (2)"));
        }
        model.algorithm = static_cast<SpmModel::Algorithm>(field.integer());
        break;
      case 24: model.space_as_suffix = field.integer() != 0; break;
      case 35: model.byte_fallback = field.integer() != 0; break;
      case 44: model.unk_surface = field.bytes(); break;
      case 46: model.bos = field.bytes(); break;
      case 47: model.eos = field.bytes(); break;
      case 48: model.pad = field.bytes(); break;
      default: break;
    }
  }
}

void read_normalizer(SpmModel& model, const ProtoField& at) {
  ProtoReader reader = at.message();
  for (ProtoField field; reader.next(field);) {
    switch (field.number()) {
      case 2: model.charsmap = field.bytes(); break;
      case 3: model.add_dummy_prefix = field.integer() != 0; break;
      case 4: model.remove_extra_spaces = field.integer() != 0; break;
      case 5: model.escape_spaces = field.integer() != 0; break;
      default: break;
    }
  }
}

void refuse_denormalizer(const ProtoField& at, const std::string& where) {
  ProtoReader reader = at.message();
  for (ProtoField field; reader.next(field);) {
    if (field.number() == 2 && !field.bytes().empty()) {
      throw ConfigError(cat(where, ": a SentencePiece model with a denormalizer is not supported"));
    }
  }
}

void check_pieces(SpmModel& model, const std::string& where) {
  std::unordered_set<std::string_view> seen;
  std::array<bool, 256> has_byte{};
  int64_t unknown = -1;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    const auto fail = [&](const std::string& what) {
      throw IoError(cat(where, ": piece ", id, " '", piece.text, "': ", what));
    };
    if (!seen.insert(piece.text).second) fail("there already is a piece of this text");
    if (piece.type == SpmPiece::Type::unknown) {
      if (unknown >= 0) fail(cat("piece ", unknown, " is the unknown piece already"));
      unknown = static_cast<int64_t>(id);
    }
    if (piece.type == SpmPiece::Type::unused && model.algorithm == SpmModel::Algorithm::bpe) {
      throw ConfigError(cat(where, ": piece ", id, " '", piece.text,
                            "' of a BPE model is marked as unused, which is not ", "supported"));
    }
    if (piece.type == SpmPiece::Type::byte) {
      if (!model.byte_fallback) fail("a byte piece in a model without byte_fallback");
      const int byte = byte_of_piece(piece.text);
      if (byte < 0) fail("a byte piece is spelled like <0x0A>");
      has_byte[static_cast<size_t>(byte)] = true;
    }
  }
  if (unknown < 0) throw IoError(cat(where, ": none of ", model.pieces.size(), " pieces is the unknown piece"));
  model.unk_id = static_cast<int32_t>(unknown);
  for (size_t byte = 0; model.byte_fallback && byte < has_byte.size(); ++byte) {
    if (!has_byte[byte]) throw IoError(cat(where, ": byte_fallback is set, but byte ", byte, " has no piece"));
  }
}

}  // namespace

SpmModel read_spm(std::string_view bytes, const std::string& where) {
  SpmModel model;
  ProtoReader reader(bytes, where);
  for (ProtoField field; reader.next(field);) {
    switch (field.number()) {
      case 1: model.pieces.push_back(read_piece(field)); break;
      case 2: read_trainer(model, field, where); break;
      case 3: read_normalizer(model, field); break;
      case 5: refuse_denormalizer(field, where); break;
      default: break;
    }
  }
  if (model.pieces.size() > static_cast<size_t>(INT32_MAX)) throw IoError(cat(where, ": too many pieces"));
  check_pieces(model, where);
  return model;
}

int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  const int high = digit(piece[3]), low = digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace trireme
