// SentencePiece's `.model` files: the fields of sentencepiece_model.proto that decide how text is encoded, checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

struct SpmPiece {
  enum class Type : uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

  std::string text;  // spaces spelled U+2581
  float score = 0;
  Type type = Type::normal;
};

/// Holds: exactly one piece is unknown; pieces are not empty, differ, and have no zero byte; with byte fallback all 256
/// bytes have a piece; no score is NaN.
struct SpmModel {
  enum class Algorithm { unigram = 1, bpe = 2 };

  std::vector<SpmPiece> pieces;  // by id
  Algorithm algorithm = Algorithm::unigram;
  bool byte_fallback = false;
  bool space_as_suffix = false;  // the dummy space goes to the end of a text
  int32_t unk_id = 0;
  std::string bos = "<s>", eos = "</s>", pad = "<pad>";  // the pieces of these roles, where such pieces are
  std::string unk_surface = " \xE2\x81\x87 ";            // what the unknown piece decodes to

  bool add_dummy_prefix = true;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;
  std::string charsmap;  // see CharsMap; empty: none
};

/// Reads the bytes of a model. IoError naming `where`, the byte and what is wrong; ConfigError for the kinds that we do
/// not encode (word and char models, denormalizers, BPE with unused pieces).
SpmModel read_spm(std::string_view bytes, const std::string& where);

/// The byte that a piece like "<0x0A>" stands for, or -1.
int byte_of_piece(std::string_view piece);

}  // namespace trireme
