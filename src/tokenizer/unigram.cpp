#include "tokenizer/unigram.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "tokenizer/alphabet.h"
#include "tokenizer/unicode.h"

namespace trireme {
namespace {

constexpr double kUnknownPenalty = 10;

/// The token that is all of `text`, or -1.
int32_t whole(const ByteTrie& trie, std::string_view text) {
  const ByteTrie::Match match = trie.longest(text);
  return match.length == text.size() ? match.value : -1;
}

}  // namespace

/// Text never becomes a special token by itself.
UnigramPaths<double> Unigram::make_paths(const TokenizerSpec& spec) {
  const ModelRules& rules = spec.model;
  std::vector<std::pair<std::string_view, int32_t>> pieces;
  for (size_t id = 0; id < rules.scores.size(); ++id) {
    const auto as_id = static_cast<int32_t>(id);
    const bool special = std::binary_search(spec.special.begin(), spec.special.end(), as_id);
    if (!special && !rules.spellings[id].empty()) {
      pieces.emplace_back(rules.spellings[id], as_id);
    }
  }
  const double lowest = *std::min_element(rules.scores.begin(), rules.scores.end());
  return {std::move(pieces), rules.scores, rules.unk, lowest - kUnknownPenalty,
          std::numeric_limits<double>::infinity()};
}

Unigram::Unigram(const TokenizerSpec& spec)
    : paths_(make_paths(spec)), unk_(spec.model.unk), has_bytes_(spec.model.byte_fallback) {
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_[static_cast<size_t>(byte)] = whole(paths_.trie(), fallback_token(byte));
  }
}

void Unigram::apply(std::vector<int32_t>& out, std::string_view piece, Scratch& scratch) const {
  const char *begin = piece.data(), *end = begin + piece.size();
  size_t run = piece.size();  // where a run of unknown characters begins
  paths_.cut(
      piece, scratch, [&](size_t i) { return size_t{code_point(begin + i, end).length}; },
      [&](size_t from, size_t, int32_t id) {
        if (id == unk_) {
          run = std::min(run, from);
          return;
        }
        if (run < from) append_unknown(out, piece.substr(run, from - run));
        run = piece.size();
        out.push_back(id);
      });
  if (run < piece.size()) append_unknown(out, piece.substr(run));
}

/// The run may be a token after all: one whose score is worse than that of its unknown characters.
void Unigram::append_unknown(std::vector<int32_t>& out, std::string_view run) const {
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
  if (const int32_t id = whole(paths_.trie(), run); id >= 0) {
    out.push_back(id);
  } else if (has_bytes_ && std::all_of(run.begin(), run.end(), [&](char byte) { return byte_id(byte) >= 0; })) {
    for (const char byte : run) out.push_back(byte_id(byte));
  } else {
    out.push_back(unk_);
  }
}

}  // namespace trireme
