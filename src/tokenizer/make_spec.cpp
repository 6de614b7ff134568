// From the parsed text of vocab.json and merges.txt to a checked TokenizerSpec.
#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/numeric.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/read.h"

namespace trireme {
namespace {

using Ids = std::unordered_map<std::string_view, int32_t>;

/// "merges.txt: line 7", "tokenizer.json: merge 7", for people.
std::string at_line(const std::string& file, int64_t line) { return cat(file, ": line ", line, ": "); }

/// Places tokens at their ids, and refuses ids that are taken or leave a hole somewhere.
class Placer {
 public:
  Placer(std::vector<std::string>& tokens, size_t size) : tokens_(tokens) { tokens_.resize(size); }

  void place(std::string bytes, int64_t id, const std::string& where) {
    if (id < 0 || id >= static_cast<int64_t>(tokens_.size())) {
      throw IoError(cat(where, "id ", id, " of '", bytes, "' is outside 0 to ", tokens_.size() - 1, ": the ",
                        tokens_.size(), " tokens must have ids without holes"));
    }
    std::string& token = tokens_[static_cast<size_t>(id)];
    if (!token.empty()) throw IoError(cat(where, "id ", id, " is given to '", token, "' and to '", bytes, "'"));
    token = std::move(bytes);
  }

 private:
  std::vector<std::string>& tokens_;
};

void place_vocabulary(TokenizerSpec& spec, Placer& placer, const VocabularyText& text, const SpecialTokens& special) {
  for (const auto& [spelling, value] : text.vocab.members()) {
    const std::string where = at_line(text.vocab_file, value.line);
    if (value.kind() != Json::Kind::integer) {
      throw IoError(cat(where, "expected the id of '", spelling, "', found ", kind_name(value.kind())));
    }
    const int64_t id = value.as_integer();
    if (spelling.empty()) throw IoError(cat(where, "the token with id ", id, " is empty"));
    const auto known = special.tokens.find(spelling);
    if (known != special.tokens.end()) {
      if (known->second.id.value_or(static_cast<int32_t>(id)) != id) {
        throw IoError(cat(where, "special token '", spelling, "' has id ", id, " here but ", *known->second.id,
                          " among the added tokens"));
      }
      placer.place(spelling, id, where);
      spec.special.push_back(static_cast<int32_t>(id));
      continue;
    }
    std::string bytes;
    const size_t offset = unspell_bytes(bytes, spelling);
    if (offset != std::string_view::npos) {
      throw IoError(cat(where, "token '", spelling, "' has a character (at byte ", offset,
                        ") that stands for no byte; expected a byte-level vocabulary like GPT-2's"));
    }
    placer.place(std::move(bytes), id, where);
  }
}

void place_added(TokenizerSpec& spec, Placer& placer, const VocabularyText& text, const SpecialTokens& special) {
  for (const auto& [content, entry] : special.tokens) {
    if (text.vocab.find(content) != nullptr) continue;
    if (!entry.id) {
      throw IoError(cat(text.vocab_file, ": the special token '", content,
                        "' is not in the vocabulary; add it there or take it out of the configuration"));
    }
    placer.place(content, *entry.id, cat(text.vocab_file, ": added tokens: "));
    spec.special.push_back(*entry.id);
  }
}

/// Ids of all tokens that text can become.
Ids ordinary_ids(const TokenizerSpec& spec) {
  Ids ids;
  ids.reserve(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const auto as_id = static_cast<int32_t>(id);
    if (!std::binary_search(spec.special.begin(), spec.special.end(), as_id)) ids.emplace(spec.tokens[id], as_id);
  }
  return ids;
}

void require_bytes(const Ids& ids, const std::string& file) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token(1, static_cast<char>(byte));
    if (ids.contains(token)) continue;
    throw IoError(cat(file, ": byte ", byte, " ('", spell_bytes(token),
                      "') has no ordinary token; every byte needs one, or text could be lost"));
  }
}

void join_merges(TokenizerSpec& spec, const Ids& ids, const VocabularyText& text) {
  std::unordered_set<uint64_t> seen;
  spec.merges.reserve(text.merges.size());
  for (const MergeText& merge : text.merges) {
    const std::string where = at_line(text.merges_file, merge.line);
    const auto id_of = [&](const std::string& bytes, const char* what) {
      const auto found = ids.find(bytes);
      if (found != ids.end()) return found->second;
      throw IoError(cat(where, what, " of the merge, '", spell_bytes(bytes), "', is not in the vocabulary of ",
                        text.vocab_file, "; do the files belong together?"));
    };
    const auto bytes_of = [&](const std::string& spelling) {
      std::string bytes;
      if (!spelling.empty() && unspell_bytes(bytes, spelling) == std::string_view::npos) return bytes;
      throw IoError(cat(where, "'", spelling, "' is not a byte-level token"));
    };
    const std::string left = bytes_of(merge.left), right = bytes_of(merge.right);
    const Merge joined{id_of(left, "the left part"), id_of(right, "the right part"), id_of(left + right, "the result")};
    if (!seen.insert(static_cast<uint64_t>(joined.left) << 32 | static_cast<uint64_t>(joined.right)).second) {
      throw IoError(cat(where, "the merge '", merge.left, " ", merge.right, "' is there twice"));
    }
    spec.merges.push_back(joined);
  }
}

}  // namespace

TokenizerSpec make_spec(const VocabularyText& text, const SpecialTokens& special) {
  const auto outside = std::count_if(special.tokens.begin(), special.tokens.end(),
                                     [&](const auto& token) { return text.vocab.find(token.first) == nullptr; });
  TokenizerSpec spec;
  Placer placer(spec.tokens, text.vocab.size() + static_cast<size_t>(outside));
  place_vocabulary(spec, placer, text, special);
  place_added(spec, placer, text, special);
  std::sort(spec.special.begin(), spec.special.end());

  const Ids ids = ordinary_ids(spec);
  require_bytes(ids, text.vocab_file);
  join_merges(spec, ids, text);
  for (const auto& role : special.roles) {
    const auto found = std::find_if(spec.special.begin(), spec.special.end(),
                                    [&](int32_t id) { return spec.tokens[static_cast<size_t>(id)] == role.second; });
    CHECK(found != spec.special.end(), role.first);
    spec.roles[role.first] = *found;
  }
  return spec;
}

}  // namespace trireme
