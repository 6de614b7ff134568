#include "tokenizer/rank_file.h"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>

#include "base/error.h"
#include "base/strings.h"
#include "tokenizer/alphabet.h"

namespace trireme {
namespace {

using Ids = std::unordered_map<std::string_view, int32_t>;

constexpr size_t kMaxTokenBytes = 1024;  // merges within a token take its square; the longest in use have 128 bytes
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();
constexpr int64_t kHolesPerToken = 8, kMinIdLimit = int64_t{1} << 20;  // as in a tokenizer.json

struct RankLine {
  std::string token;
  int64_t rank = 0;
};

std::optional<RankLine> parse_line(std::string_view line) {
  const size_t space = line.find(' ');
  RankLine out;
  if (space == std::string_view::npos || !decode_base64(out.token, line.substr(0, space)) || out.token.empty() ||
      !parse_integer(line.substr(space + 1), out.rank)) {
    return std::nullopt;
  }
  return out;
}

std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Tokens by rank, with "" where a rank is missing.
std::vector<std::string> read_lines(std::string_view text, const std::string& where) {
  std::vector<std::string> tokens;
  const int64_t lines = std::count(text.begin(), text.end(), '\n') + 1;
  const int64_t limit = std::max(kMinIdLimit, kHolesPerToken * lines);
  for (int64_t number = 1; !text.empty(); ++number) {
    const std::string_view line = take_line(text);
    if (line.empty()) continue;
    const std::string at = cat(where, ": line ", number, ": ");
    std::optional<RankLine> entry = parse_line(line);
    if (!entry) throw IoError(cat(at, "expected a token in base64 and its rank, found '", line.substr(0, 80), "'"));
    if (entry->token.size() > kMaxTokenBytes) {
      throw IoError(cat(at, "a token of ", entry->token.size(), " bytes; at most ", kMaxTokenBytes, " are read"));
    }
    if (entry->rank < 0 || entry->rank >= limit) {
      throw IoError(cat(at, "the rank ", entry->rank, "; for ", lines, " lines ranks must be in 0 to ", limit - 1));
    }
    const auto rank = static_cast<size_t>(entry->rank);
    if (rank >= tokens.size()) tokens.resize(rank + 1);
    if (!tokens[rank].empty()) throw IoError(cat(at, "the rank ", rank, " is there twice"));
    tokens[rank] = std::move(entry->token);
  }
  return tokens;
}

Ids ids_of(const std::vector<std::string>& tokens, const std::string& where) {
  Ids ids;
  ids.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) continue;
    const auto [known, fresh] = ids.emplace(tokens[id], static_cast<int32_t>(id));
    if (!fresh) {
      throw IoError(
          cat(where, ": the token '", spell_bytes(tokens[id]), "' has the ranks ", known->second, " and ", id));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token(1, static_cast<char>(byte));
    if (!ids.contains(token)) throw IoError(cat(where, ": byte ", byte, " has no token; every byte needs one"));
  }
  return ids;
}

/// Where tiktoken's rule, applied to the bytes of `token`, joins the last two parts; 0: it never makes this token. Of
/// neighbours that are a token together those of the lowest rank are joined, the leftmost first.
size_t last_cut(std::string_view token, const Ids& ids) {
  struct Part {
    size_t begin;
    int32_t joined;  // rank of this part and the next
  };
  std::vector<Part> parts(token.size());
  const auto join = [&](size_t i) {
    const size_t end = i + 2 < parts.size() ? parts[i + 2].begin : token.size();
    const auto found = ids.find(token.substr(parts[i].begin, end - parts[i].begin));
    parts[i].joined = found == ids.end() ? kNoRank : found->second;
  };
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = {i, kNoRank};
  for (size_t i = 0; i + 1 < parts.size(); ++i) join(i);
  while (parts.size() > 2) {
    const auto lowest =
        std::min_element(parts.begin(), parts.end(), [](auto& a, auto& b) { return a.joined < b.joined; });
    if (lowest->joined == kNoRank) return 0;
    const auto i = static_cast<size_t>(lowest - parts.begin());
    parts.erase(lowest + 1);
    parts[i].joined = kNoRank;
    if (i + 1 < parts.size()) join(i);
    if (i > 0) join(i - 1);
  }
  return parts.back().begin;
}

/// One merge a token. Whatever stands around the bytes of a token, what happens within them until they are one is what
/// happens to them alone; so of all ways to cut it into two tokens only the last one that the rule comes by is met.
void add_merges(TokenizerSpec& spec, const Ids& ids) {
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string_view token = spec.tokens[id];
    const size_t cut = token.empty() ? 0 : last_cut(token, ids);  // a rank may be missing
    if (cut == 0) continue;
    spec.merges.push_back({ids.at(token.substr(0, cut)), ids.at(token.substr(cut)), static_cast<int32_t>(id)});
  }
}

using Specials = std::vector<std::pair<std::string, int64_t>>;

/// Llama 3.1's 256 special tokens; those of Llama 3 that differ were reserved.
Specials llama3_specials(int64_t first) {
  constexpr std::array kNamed = {"<|begin_of_text|>",
                                 "<|end_of_text|>",
                                 "<|reserved_special_token_0|>",
                                 "<|reserved_special_token_1|>",
                                 "<|finetune_right_pad_id|>",
                                 "<|reserved_special_token_2|>",
                                 "<|start_header_id|>",
                                 "<|end_header_id|>",
                                 "<|eom_id|>",
                                 "<|eot_id|>",
                                 "<|python_tag|>"};
  Specials out;
  for (const char* name : kNamed) out.emplace_back(name, first++);
  for (int i = 3; out.size() < 256; ++i) out.emplace_back(cat("<|reserved_special_token_", i, "|>"), first++);
  return out;
}

Specials qwen_specials(int64_t first) {
  Specials out;
  for (const char* name : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) out.emplace_back(name, first++);
  for (int i = 0; i < 205; ++i) out.emplace_back(cat("<|extra_", i, "|>"), first++);
  return out;
}

/// What is published with a file of a name.
struct Published {
  SplitPattern split;
  Specials specials;
  std::string bos, eos;
  bool nfc = false;
};

std::optional<Published> published(std::string_view name, int64_t ranks) {
  constexpr const char* kEnd = "<|endoftext|>";
  if (name == "gpt2.tiktoken" || name == "r50k_base.tiktoken" || name == "p50k_base.tiktoken") {
    return Published{SplitPattern::gpt2, {{kEnd, 50256}}, "", kEnd};
  }
  if (name == "cl100k_base.tiktoken") {
    return Published{SplitPattern::cl100k,
                     {{kEnd, 100257},
                      {"<|fim_prefix|>", 100258},
                      {"<|fim_middle|>", 100259},
                      {"<|fim_suffix|>", 100260},
                      {"<|endofprompt|>", 100276}},
                     "",
                     kEnd};
  }
  if (name == "o200k_base.tiktoken") {
    return Published{SplitPattern::o200k, {{kEnd, 199999}, {"<|endofprompt|>", 200018}}, "", kEnd};
  }
  if (name == "qwen.tiktoken") return Published{SplitPattern::qwen2, qwen_specials(ranks), "", kEnd, true};
  if (name == "tokenizer.model") {
    return Published{SplitPattern::llama3, llama3_specials(ranks), "<|begin_of_text|>", "<|end_of_text|>"};
  }
  return std::nullopt;
}

/// tiktoken keeps what the pattern matches and drops the rest.
PieceRule rule_of(const std::string& pattern) {
  for (const SplitPattern known :
       {SplitPattern::gpt2, SplitPattern::llama3, SplitPattern::cl100k, SplitPattern::qwen2, SplitPattern::o200k}) {
    if (pattern == split_name(known)) return {PieceRule::Kind::scanner, known};
  }
  if (const auto known = known_split(pattern, SplitEngine::tiktoken)) return {PieceRule::Kind::scanner, *known};
  if (pattern.find("}+") != std::string::npos) {
    throw ConfigError(cat("pat_str: the possessive interval in '", pattern.substr(0, 200), "' is not supported"));
  }
  PieceRule rule{PieceRule::Kind::regex};
  rule.text = pattern;
  rule.behavior = SplitBehavior::removed;
  rule.invert = true;
  return rule;
}

void add_specials(TokenizerSpec& spec, const SpecialTokens& special, const std::string& where) {
  const int64_t limit = std::max(kMinIdLimit, kHolesPerToken * static_cast<int64_t>(spec.tokens.size()));
  for (const auto& [text, entry] : special.tokens) {
    if (!entry.id) throw ConfigError(cat(where, ": the special token '", text, "' has no id beside this file"));
    const auto id = static_cast<size_t>(*entry.id);
    if (*entry.id >= limit)
      throw ConfigError(cat(where, ": the special token '", text, "' has the impossible id ", id));
    if (id >= spec.tokens.size()) spec.tokens.resize(id + 1);
    if (!spec.tokens[id].empty()) {
      throw ConfigError(cat(where, ": the special token '", text, "' has the id ", id, " of another token"));
    }
    spec.tokens[id] = text;
    AddedToken rules = entry.rules;
    rules.id = *entry.id;
    rules.content = text;
    rules.normalized = false;  // tiktoken finds them before all else
    if (entry.special) spec.special.push_back(*entry.id);
    if (!entry.special || rules.lstrip || rules.rstrip || rules.single_word) spec.added.push_back(std::move(rules));
  }
  std::sort(spec.special.begin(), spec.special.end());
  for (const auto& [role, text] : special.roles) spec.roles[role] = *special.tokens.at(text).id;
}

}  // namespace

bool is_rank_file(std::string_view text) { return parse_line(take_line(text)).has_value(); }

TokenizerSpec read_rank_file(const RankFile& file, SpecialTokens side) {
  TokenizerSpec spec;
  spec.tokens = read_lines(file.text, file.where);
  add_merges(spec, ids_of(spec.tokens, file.where));
  spec.model.ignore_merges = true;  // a piece that is a token becomes it

  const std::optional<Published> known = published(file.name, static_cast<int64_t>(spec.tokens.size()));
  if (file.pattern.empty() && !known) {
    throw ConfigError(cat(file.where, ": no rank file is known by the name ", file.name,
                          "; name its pattern in the key pat_str of a tokenizer_config.json beside it: as tiktoken ",
                          "spells it, or gpt2, llama3, cl100k, qwen2 or o200k"));
  }
  spec.pieces = {file.pattern.empty() ? PieceRule{PieceRule::Kind::scanner, known->split} : rule_of(file.pattern)};
  const bool has_ids =
      std::any_of(side.tokens.begin(), side.tokens.end(), [](auto& t) { return t.second.id.has_value(); });
  if (known && known->nfc) spec.normalizer = {{NormalizerRule::Kind::nfc, "", ""}};
  if (known && !has_ids) {
    for (const auto& [text, id] : known->specials) side.add(text, id);
    if (!known->bos.empty()) side.roles.emplace("bos_token", known->bos);
    side.roles.emplace("eos_token", known->eos);
  }
  add_specials(spec, side, file.where);
  return spec;
}

}  // namespace trireme
