// From a parsed tokenizer.json to a checked TokenizerSpec.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <unordered_map>
#include <unordered_set>

#include "base/strings.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/json_node.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/read.h"
#include "tokenizer/read_rules.h"

namespace trireme {
namespace {

using Ids = std::unordered_map<std::string_view, int32_t>;

// Ids may leave holes, but a hole costs memory: so many more than there are tokens, and not less than this, are
// allowed.
constexpr int64_t kHolesPerToken = 8, kMinIdLimit = int64_t{1} << 20;
constexpr size_t kLongestAffix = 32;  // bytes; with byte fallback, every character of a text may become so many tokens

const Json& null_json() {
  static const Json null;
  return null;
}

JsonNode part(const JsonNode& root, const char* key) {
  return root.has(key) ? root.at(key) : JsonNode(null_json(), key);
}

/// The number that Hugging Face's reader makes of the digits of `value`: their integer times or divided by a power of
/// ten, which is not always the nearest to what they say. Where two cuts of a text have equal sums, that decides.
double as_read_by_tokenizers(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, std::abs(value), std::chars_format::scientific).ptr;
  const std::string_view all(text, static_cast<size_t>(end - text));
  const size_t e = all.find('e');
  uint64_t digits = 0;
  int64_t exponent = 0;
  for (const char c : all.substr(0, e)) digits = c == '.' ? digits : digits * 10 + static_cast<uint64_t>(c - '0');
  if (!parse_integer(all.substr(all[e + 1] == '+' ? e + 2 : e + 1), exponent)) return value;
  exponent -= e > 1 ? static_cast<int64_t>(e) - 2 : 0;
  const auto power = [](int64_t n) { return std::strtod(cat("1e", n).c_str(), nullptr); };
  auto out = static_cast<double>(digits);
  for (; exponent < -308; exponent += 308) out /= power(308);
  out = exponent < 0 ? out / power(-exponent) : out * power(exponent);
  return std::copysign(out, value);
}

/// Reads the vocabulary and the added tokens: spellings by id, and of a unigram model, a list of pieces, scores by id.
class Vocabulary {
 public:
  Vocabulary(const JsonNode& vocab, const SpecialTokens& added) : vocab_(vocab) {
    const bool pieces = vocab.json().is_array();
    limit_ = std::max(kMinIdLimit, kHolesPerToken * static_cast<int64_t>(vocab.json().size() + added.tokens.size()));
    ids_.reserve(vocab.json().size());
    if (pieces) {
      read_pieces();
      return;
    }
    for (const auto& [spelling, value] : vocab.json().members()) {
      const JsonNode node(value, cat(vocab.path(), "[", Json(spelling.substr(0, 60)).dump(), "]"));
      if (spelling.empty()) node.refuse("is an empty token");
      place(spelling, node.integer(), node);
      ids_.emplace(spelling, static_cast<int32_t>(value.as_integer()));
    }
  }

  /// The id of an added token: its own, or that of the vocabulary.
  int32_t add(const std::string& content, const AddedEntry& entry) {
    const auto known = ids_.find(content);
    if (known != ids_.end()) {
      if (entry.id.value_or(known->second) == known->second) return known->second;
      throw ConfigError(
          cat("added token '", content, "' has id ", *entry.id, ", but ", known->second, " in ", vocab_.path()));
    }
    if (!entry.id) {
      throw ConfigError(cat("the special token '", content,
                            "' of the configuration is neither in the vocabulary nor among the added tokens"));
    }
    place(content, *entry.id, JsonNode(vocab_.json(), "added_tokens"));
    return *entry.id;
  }

  const Ids& ids() const { return ids_; }
  const std::vector<std::string>& spellings() const { return spellings_; }
  std::vector<double> take_scores() { return std::move(scores_); }

 private:
  /// Of equal pieces the last counts.
  void read_pieces() {
    if (vocab_.json().size() == 0) vocab_.refuse("has no pieces");
    for (const Json& item : vocab_.json().items()) {
      const JsonNode node(item, cat(vocab_.path(), "[", spellings_.size(), "]"));
      const std::vector<JsonNode> pair = node.items();
      if (pair.size() != 2) node.refuse("is no pair of a piece and its score");
      if (pair[0].text().empty()) pair[0].refuse("is an empty piece");
      const double score = pair[1].real();
      scores_.push_back(pair[1].json().kind() == Json::Kind::real ? as_read_by_tokenizers(score) : score);
      if (!std::isfinite(scores_.back())) pair[1].refuse("is no finite score");
      ids_[pair[0].text()] = static_cast<int32_t>(spellings_.size());
      spellings_.push_back(pair[0].text());
    }
  }

  void place(const std::string& spelling, int64_t id, const JsonNode& node) {
    if (id < 0 || id >= limit_) {
      node.refuse(cat("gives '", spelling.substr(0, 60), "' the id ", id, "; for so few tokens ids must be in 0 to ",
                      limit_ - 1));
    }
    const auto at = static_cast<size_t>(id);
    if (at >= spellings_.size()) spellings_.resize(at + 1);
    if (!spellings_[at].empty()) {
      node.refuse(cat("gives '", spelling.substr(0, 60), "' the id ", id, " of '", spellings_[at].substr(0, 60), "'"));
    }
    spellings_[at] = spelling;
  }

  JsonNode vocab_;
  int64_t limit_ = 0;
  Ids ids_;  // of the model's own tokens; views of the file's text
  std::vector<double> scores_;
  std::vector<std::string> spellings_;
};

bool continues_character(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

/// "left right", or in newer files ["left", "right"].
std::pair<std::string, std::string> read_merge(const JsonNode& node) {
  if (node.json().is_array()) {
    const std::vector<JsonNode> parts = node.items();
    if (parts.size() == 2) return {parts[0].text(), parts[1].text()};
  } else if (node.json().is_string()) {
    const std::vector<std::string> parts = split(node.text(), ' ');
    if (parts.size() == 2) return {parts[0], parts[1]};
  }
  node.refuse(cat("is no merge of two tokens: ", node.json().dump().substr(0, 80)));
}

/// `prefix`: bytes of the prefix that the right part of a merge loses.
std::vector<Merge> read_merges(const JsonNode& merges, const Ids& ids, size_t prefix) {
  merges.require(Json::Kind::array);
  std::vector<Merge> out;
  std::unordered_set<uint64_t> seen;
  out.reserve(merges.json().size());
  for (const Json& item : merges.json().items()) {
    const JsonNode node(item, cat(merges.path(), "[", out.size(), "]"));
    const auto [left, right] = read_merge(node);
    const auto id_of = [&](const std::string& token, const char* what) {
      const auto found = ids.find(token);
      if (found != ids.end()) return found->second;
      node.refuse(cat(what, " '", token.substr(0, 60), "' is not in the vocabulary"));
    };
    if (prefix > right.size() || (prefix < right.size() && continues_character(right[prefix]))) {
      node.refuse(cat("has the right part '", right.substr(0, 60), "', which has no continuing_subword_prefix"));
    }
    const Merge merge{id_of(left, "is a merge whose left part"), id_of(right, "is a merge whose right part"),
                      id_of(left + right.substr(prefix), "is a merge whose result")};
    if (!seen.insert(static_cast<uint64_t>(merge.left) << 32 | static_cast<uint64_t>(merge.right)).second) {
      node.refuse(cat("merges '", left, "' and '", right, "' a second time"));
    }
    out.push_back(merge);
  }
  return out;
}

void read_unigram(ModelRules& rules, const JsonNode& model, Vocabulary& vocabulary) {
  rules.byte_fallback = model.flag("byte_fallback", false);
  rules.scores = vocabulary.take_scores();
  const JsonNode unk = model.at("unk_id");
  if (unk.is_null()) unk.refuse("is null; expected the id of the token for what is unknown");
  if (unk.integer() < 0 || unk.integer() >= static_cast<int64_t>(rules.scores.size())) {
    unk.refuse(cat("is ", unk.integer(), ", outside 0 to ", rules.scores.size() - 1));
  }
  rules.unk = static_cast<int32_t>(unk.integer());
}

void read_bpe(ModelRules& rules, const JsonNode& model, const Ids& ids) {
  if (model.has("dropout") && model.at("dropout").json().as_real() != 0) {
    model.at("dropout").refuse("is not 0, which would make the ids random; expected null");
  }
  if (model.has("continuing_subword_prefix"))
    rules.prefix = short_text(model.at("continuing_subword_prefix"), kLongestAffix);
  if (model.has("end_of_word_suffix")) rules.suffix = short_text(model.at("end_of_word_suffix"), kLongestAffix);
  rules.byte_fallback = model.flag("byte_fallback", false);
  rules.fuse_unk = model.flag("fuse_unk", false);
  rules.ignore_merges = model.flag("ignore_merges", false);
  if (model.has("unk_token")) {
    const auto found = ids.find(model.text("unk_token"));
    if (found == ids.end()) model.at("unk_token").refuse("is not in the vocabulary");
    rules.unk = found->second;
  }
}

SpecialTokens read_added(const JsonNode& root) {
  SpecialTokens added;
  if (!root.has("added_tokens")) return added;
  for (const JsonNode& entry : root.at("added_tokens").items()) {
    if (entry.text("content").empty()) continue;  // tokenizers leaves them out too
    added.add_token(entry.json(), entry.at("id").integer());
  }
  return added;
}

/// Adds what side files know of further tokens; for those that are known the tokenizer.json's word counts.
void merge_side(SpecialTokens& added, const SpecialTokens& side) {
  for (const auto& [text, entry] : side.tokens) {
    added.add(text, entry.id ? std::optional<int64_t>(*entry.id) : std::nullopt, entry);
  }
  added.roles = side.roles;
}

/// Bytes are symbols where no more is asked of them than that; else their spellings are, and pieces are spelled out.
void choose_symbols(TokenizerSpec& spec, bool bytes_suffice, bool spelled) {
  ModelRules& model = spec.model;
  model.byte_level = bytes_suffice && !model.byte_fallback && model.prefix.empty() && model.suffix.empty();
  if (spelled && !model.byte_level) spec.pieces.push_back({PieceRule::Kind::spell});
}

using AddedTexts = std::map<int32_t, std::string>;  // by id

/// The bytes of tokens where bytes are symbols. What the model has itself is as it spells it; an added token is its
/// text, or what that spells, if it is not special.
void spell_bytes_of(TokenizerSpec& spec, const Vocabulary& vocabulary, const AddedTexts& added) {
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& spelling = vocabulary.spellings()[id];
    const auto as_id = static_cast<int32_t>(id);
    const auto known = vocabulary.ids().find(spelling);
    const bool own = known != vocabulary.ids().end() && known->second == as_id;
    const bool special = std::binary_search(spec.special.begin(), spec.special.end(), as_id);
    const auto as_added = added.find(as_id);
    const bool is_text = as_added != added.end() && (special || !own);
    const std::string& text = is_text ? as_added->second : spelling;
    std::string bytes;
    bool spells = unspell_bytes(bytes, text) == std::string_view::npos;
    // A token with a character that stands for no byte stands for itself, and is not found in text.
    if (!spells || !own) spec.model.apart.push_back(as_id);
    if (is_text) spells = spells && !special && find_invalid_utf8(bytes) == std::string::npos;
    spec.tokens[id] = spells ? bytes : text;
  }
}

void spell_tokens(TokenizerSpec& spec, const Vocabulary& vocabulary, const AddedTexts& added,
                  const std::vector<DecodeStep>& decoder) {
  std::vector<std::string> spellings = vocabulary.spellings();
  spec.tokens.resize(spellings.size());
  if (spec.model.byte_level) return spell_bytes_of(spec, vocabulary, added);
  for (const auto& [id, text] : added) spellings[static_cast<size_t>(id)] = text;
  spec.model.spellings.resize(spellings.size());
  for (const auto& [spelling, id] : vocabulary.ids()) spec.model.spellings[static_cast<size_t>(id)] = spelling;
  set_decoder(spec, decoder, std::move(spellings));
}

void check_template(const std::vector<int32_t>& ids, size_t size) {
  for (const int32_t id : ids) {
    if (static_cast<size_t>(id) >= size) {
      throw ConfigError(cat("post_processor adds the id ", id, ", but the vocabulary has ", size, " tokens"));
    }
  }
}

}  // namespace

TokenizerSpec make_json_spec(const Json& json, SpecialTokens side) {
  const JsonNode root(json, "");
  TokenizerSpec spec;
  spec.normalizer = read_normalizer(part(root, "normalizer"));
  PieceRules pieces = read_pre_tokenizer(part(root, "pre_tokenizer"));
  spec.pieces = std::move(pieces.rules);
  const JsonNode model = root.at("model");
  const bool unigram = model.has("type") ? model.type() == "Unigram" : model.at("vocab").json().is_array();
  if (model.has("type") && !unigram && model.type() != "BPE") model.refuse_type("BPE, Unigram");
  SpecialTokens added = read_added(root);
  merge_side(added, side);

  model.at("vocab").require(unigram ? Json::Kind::array : Json::Kind::object);
  Vocabulary vocabulary(model.at("vocab"), added);
  if (unigram) {
    read_unigram(spec.model, model, vocabulary);
  } else {
    read_bpe(spec.model, model, vocabulary.ids());
    spec.merges = read_merges(model.at("merges"), vocabulary.ids(), spec.model.prefix.size());
  }
  const std::vector<DecodeStep> decoder = read_decoder(part(root, "decoder"));
  choose_symbols(spec, pieces.byte_level && !unigram && is_byte_level_decoder(decoder), pieces.byte_level);
  AddedTexts added_texts;
  const Normalizer normalizer(spec.normalizer);
  RegexScratch scratch;
  for (const auto& [content, entry] : added.tokens) {
    AddedToken token = entry.rules;
    token.id = vocabulary.add(content, entry);
    token.content = content;
    // tokenizers shows a token that is looked for in normalized text as that text has it.
    const size_t limit = token_growth_limit(content.size());
    added_texts[token.id] = token.normalized ? normalizer.apply(content, limit, scratch).value_or(content) : content;
    if (entry.special) spec.special.push_back(token.id);
    const bool plain = entry.special && !token.lstrip && !token.rstrip && !token.single_word && !token.normalized;
    if (!plain || !spec.model.byte_level) spec.added.push_back(std::move(token));
  }
  std::sort(spec.special.begin(), spec.special.end());
  std::sort(spec.added.begin(), spec.added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  spell_tokens(spec, vocabulary, added_texts, decoder);

  Template ends = read_post_processor(part(root, "post_processor"));
  check_template(ends.before, spec.tokens.size());
  check_template(ends.after, spec.tokens.size());
  spec.template_before = std::move(ends.before);
  spec.template_after = std::move(ends.after);
  for (const int32_t id : spec.special) {
    for (const auto& [role, content] : added.roles) {
      if (vocabulary.spellings()[static_cast<size_t>(id)] == content) spec.roles.emplace(role, id);
    }
  }
  return spec;
}

}  // namespace trireme
