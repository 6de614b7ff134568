// What the last pieces of a text became: most pieces of real text are few and short. Directly mapped, from pieces of up
// to 23 bytes to up to 10 ids, a cache line each; a collision overwrites. One a thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace trireme {

class PieceCache {
 public:
  static constexpr size_t kSlots = size_t{1} << 15;  // 2 MiB, of which a text's frequent words use little

  /// `slots` is a power of two.
  explicit PieceCache(size_t slots = kSlots) : slots_(slots), shift_(64 - std::countr_zero(slots)) {
    CHECK(slots >= 2 && std::has_single_bit(slots), slots);
  }

  /// Appends what `piece` becomes, which encode(out) appends where it is not known. `text_end` >= the end of the piece
  /// says how far may be read.
  template <class Encode>
  void append(std::vector<int32_t>& out, std::string_view piece, const char* text_end, Encode&& encode) {
    if (piece.size() > kMaxKeyBytes) return encode(out);
    const Key key = key_of(piece, text_end);
    const uint64_t mixed = (key.words[0] ^ std::rotl(key.words[1], 29) * 0xBF58476D1CE4E5B9 ^
                            std::rotl(key.words[2], 43) * 0x94D049BB133111EB) *
                           0x9E3779B97F4A7C15;
    Slot& slot = slots_[static_cast<size_t>(mixed >> shift_)];
    if (slot.key == key) {
      for (size_t i = 0; i < kMaxIds && slot.ids[i] >= 0; ++i) out.push_back(slot.ids[i]);
      return;
    }
    const size_t begin = out.size();
    encode(out);
    const size_t count = out.size() - begin;
    if (count > kMaxIds) return;
    slot.key = key;
    for (size_t i = 0; i < kMaxIds; ++i) slot.ids[i] = i < count ? out[begin + i] : -1;
  }

 private:
  static constexpr size_t kMaxKeyBytes = 23;
  static constexpr size_t kMaxIds = 10;

  struct Key {
    uint64_t words[3] = {};  // the bytes, zeros, and the length in the last byte (0: empty slot)
    bool operator==(const Key&) const = default;
  };
  struct alignas(64) Slot {
    Key key;
    int32_t ids[kMaxIds];  // -1 behind the last
  };
  /// By length, what is left of three words that hold that many bytes of a piece and whatever follows it.
  struct Masks {
    uint64_t words[kMaxKeyBytes + 1][3] = {};
    constexpr Masks() {
      for (size_t n = 0; n <= kMaxKeyBytes; ++n) {
        for (size_t byte = 0; byte < n; ++byte) words[n][byte / 8] |= uint64_t{0xFF} << (byte % 8 * 8);
      }
    }
  };

  static Key key_of(std::string_view piece, const char* text_end) {
    static constexpr Masks kMasks;
    Key key;
    const size_t n = piece.size();
    if (text_end - piece.data() >= static_cast<std::ptrdiff_t>(sizeof key.words)) {
      // Three loads and masks: copying a variable number of bytes costs more than all the rest of a hit.
      std::memcpy(key.words, piece.data(), sizeof key.words);
      for (int i = 0; i < 3; ++i) key.words[i] &= kMasks.words[n][i];
    } else {
      std::memcpy(key.words, piece.data(), n);
    }
    key.words[2] |= uint64_t{n} << 56;
    return key;
  }

  std::vector<Slot> slots_;
  int shift_;
};

}  // namespace trireme
