// SentencePiece's BPE: while two neighbours spell a piece together, join those of the highest score, the leftmost among
// equals. Text is first cut where no piece has the two characters side by side: no merge crosses such a place, so the
// runs between are independent, short and mostly known to the cache.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/piece_cache.h"
#include "tokenizer/spm_normalizer.h"
#include "tokenizer/spm_output.h"

namespace trireme {

class SpmBpe {
 public:
  explicit SpmBpe(const SpmModel& model);

  struct Scratch {
    struct Symbol {
      int32_t id;
      uint32_t begin, length;   // in the run; length 0: swallowed
      uint32_t previous, next;  // symbols
      Link link;                // of this symbol and the next one
    };
    PieceCache cache;
    std::vector<Symbol> symbols;
    std::vector<uint64_t> heap;  // rank << 32 | symbol
  };
  /// Appends the ids of `text`, which is normalized. `normalizer` finds the user-defined symbols.
  void encode(std::vector<int32_t>& out, std::string_view text, const SpmNormalizer& normalizer,
              Scratch& scratch) const;

 private:
  /// Which characters stand side by side in some piece: a set of hashes, wrong only where it makes runs longer.
  class Neighbours {
   public:
    void add(uint32_t left, uint32_t right) { bits_[hash(left, right)] = true; }
    bool has(uint32_t left, uint32_t right) const { return bits_[hash(left, right)]; }

   private:
    static constexpr int kBits = 20;
    static size_t hash(uint32_t left, uint32_t right) {
      const uint64_t mixed = (uint64_t{left} << 32 | right) * 0x9E3779B97F4A7C15;
      return static_cast<size_t>(mixed >> (64 - kBits));
    }
    std::vector<bool> bits_ = std::vector<bool>(size_t{1} << kBits);
  };
  class Builder;

  void encode_run(std::vector<int32_t>& out, std::string_view run, Scratch& scratch) const;
  void split_symbols(std::string_view run, Scratch& scratch) const;
  void merge(Scratch& scratch) const;

  SpmOutput output_;
  int32_t num_pieces_;
  // Symbols by the bytes of a character: its piece, or an id behind all pieces where only longer pieces have it.
  std::unordered_map<uint32_t, int32_t> characters_;
  Neighbours neighbours_;
  MergeTable merges_{{}};
};

}  // namespace trireme
