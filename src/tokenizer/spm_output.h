// What both of SentencePiece's encoders append to: ids, where an unknown character becomes bytes, or one id a run.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/spm_model.h"

namespace trireme {

/// Bytes of the character that starts with `lead`, as SentencePiece counts them.
inline size_t spm_char_length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

class SpmOutput {
 public:
  explicit SpmOutput(const SpmModel& model) : unk_id_(model.unk_id), byte_fallback_(model.byte_fallback) {
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      if (model.pieces[id].type != SpmPiece::Type::byte) continue;
      byte_ids_[static_cast<size_t>(byte_of_piece(model.pieces[id].text))] = static_cast<int32_t>(id);
    }
  }

  int32_t unk_id() const { return unk_id_; }

  /// Appends `id`, which `text` became.
  void append(std::vector<int32_t>& out, int32_t id, std::string_view text) const {
    if (id != unk_id_ || !byte_fallback_) {
      out.push_back(id);
    } else {
      for (const char byte : text) out.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    }
  }
  /// Leaves one of several unknown ids in a row, in all that was appended to `out` since it had `begin` ids.
  void join_unknown(std::vector<int32_t>& out, size_t begin) const {
    const auto both_unknown = [this](int32_t a, int32_t b) { return a == unk_id_ && b == unk_id_; };
    out.erase(std::unique(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), both_unknown), out.end());
  }

 private:
  int32_t unk_id_;
  bool byte_fallback_;
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace trireme
