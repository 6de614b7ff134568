#include "tokenizer/read_rules.h"

#include <utility>

#include "base/strings.h"

namespace trireme {
namespace {

using NKind = NormalizerRule::Kind;
using PKind = PieceRule::Kind;

SplitBehavior read_behavior(const JsonNode& node) {
  constexpr std::pair<const char*, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  for (const auto& [name, behavior] : kNames) {
    if (node.text() == name) return behavior;
  }
  node.refuse(cat("is '", node.text().substr(0, 60),
                  "'; supported are Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous"));
}

void add_bert(std::vector<NormalizerRule>& out, const JsonNode& node) {
  if (node.required_flag("clean_text")) out.push_back({NKind::bert_clean, "", ""});
  if (node.required_flag("handle_chinese_chars")) out.push_back({NKind::bert_ideographs, "", ""});
  const bool lowercase = node.required_flag("lowercase");
  if (node.flag("strip_accents", lowercase)) out.push_back({NKind::bert_accents, "", ""});
  if (lowercase) out.push_back({NKind::lowercase, "", ""});
}

void add_normalizer(std::vector<NormalizerRule>& out, const JsonNode& node) {
  const std::string& type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("normalizers").items()) add_normalizer(out, part);
    return;
  }
  constexpr std::pair<const char*, NKind> kPlain[] = {{"NFC", NKind::nfc},
                                                      {"NFD", NKind::nfd},
                                                      {"NFKC", NKind::nfkc},
                                                      {"NFKD", NKind::nfkd},
                                                      {"Lowercase", NKind::lowercase},
                                                      {"StripAccents", NKind::strip_accents},
                                                      {"Nmt", NKind::nmt},
                                                      {"ByteLevel", NKind::byte_level}};
  for (const auto& [name, kind] : kPlain) {
    if (type == name) return out.push_back({kind, "", ""});
  }
  if (type == "BertNormalizer") return add_bert(out, node);
  if (type == "Precompiled") {
    NormalizerRule rule{NKind::chars_map, "", ""};
    const JsonNode map = node.at("precompiled_charsmap");
    if (!decode_base64(rule.pattern, map.text())) map.refuse("is not base64");
    out.push_back(std::move(rule));
  } else if (type == "Strip") {
    out.push_back({NKind::strip, "", "", node.flag("strip_left", true), node.flag("strip_right", true)});
  } else if (type == "Prepend") {
    out.push_back({NKind::prepend, "", short_text(node.at("prepend"))});
  } else if (type == "Replace") {
    const auto [text, regex] = read_pattern(node.at("pattern"));
    out.push_back({regex ? NKind::replace_regex : NKind::replace, text, node.text("content")});
  } else {
    node.refuse_type(
        "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Precompiled, Replace, BertNormalizer, Nmt, "
        "ByteLevel, Sequence");
  }
}

PieceRule cut(PKind kind, SplitBehavior behavior, bool invert = false) {
  PieceRule rule{kind};
  rule.behavior = behavior;
  rule.invert = invert;
  return rule;
}

PieceRule rewriting(PKind kind, std::string text, std::string content) {
  PieceRule rule{kind};
  rule.text = std::move(text);
  rule.content = std::move(content);
  return rule;
}

PieceRule literal(std::string text, SplitBehavior behavior, bool invert = false) {
  PieceRule rule = cut(PKind::literal, behavior, invert);
  rule.text = std::move(text);
  return rule;
}

void add_split(std::vector<PieceRule>& out, const JsonNode& node) {
  const auto [text, regex] = read_pattern(node.at("pattern"));
  const SplitBehavior behavior = read_behavior(node.at("behavior"));
  const bool invert = node.flag("invert", false);
  if (!regex) return out.push_back(literal(text, behavior, invert));
  const std::optional<SplitPattern> known = known_split(text, SplitEngine::hugging_face);
  PieceRule rule = cut(known ? PKind::scanner : PKind::regex, behavior, invert);
  if (known) rule.scanner = *known;
  if (!known) rule.text = text;
  out.push_back(std::move(rule));
}

void add_metaspace(std::vector<PieceRule>& out, const JsonNode& node) {
  const std::string replacement = short_text(node.at("replacement"));
  const std::string scheme = metaspace_scheme(node);
  out.push_back(rewriting(PKind::replace, " ", replacement));
  if (scheme == "always") out.push_back(rewriting(PKind::prefix, "", replacement));
  if (scheme == "first") out.push_back(rewriting(PKind::first_prefix, "", replacement));
  if (node.flag("split", true)) out.push_back(literal(replacement, SplitBehavior::merged_with_next));
}

size_t read_length(const JsonNode& node) {
  constexpr int64_t kDefault = 5;
  const int64_t length = node.has("length") ? node.at("length").integer() : kDefault;
  if (length < 1) node.at("length").refuse(cat("is ", length, ", expected at least 1 character"));
  return static_cast<size_t>(length);
}

void add_pre_tokenizer(PieceRules& out, const JsonNode& node) {
  const std::string& type = node.type();
  std::vector<PieceRule>& rules = out.rules;
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("pretokenizers").items()) add_pre_tokenizer(out, part);
    return;
  }
  if (std::exchange(out.byte_level, false)) rules.push_back({PKind::spell});
  if (type == "ByteLevel") {
    out.byte_level = true;
    if (node.flag("add_prefix_space", true)) rules.push_back(rewriting(PKind::prefix, "", " "));
    if (node.flag("use_regex", true)) rules.push_back({PKind::scanner});
  } else if (type == "Split") {
    add_split(rules, node);
  } else if (type == "Digits") {
    const bool single = node.flag("individual_digits", false);
    rules.push_back(cut(PKind::number, single ? SplitBehavior::isolated : SplitBehavior::contiguous));
  } else if (type == "Punctuation") {
    rules.push_back(
        cut(PKind::punctuation, node.has("behavior") ? read_behavior(node.at("behavior")) : SplitBehavior::isolated));
  } else if (type == "Whitespace") {
    rules.push_back(cut(PKind::words, SplitBehavior::removed, true));
  } else if (type == "WhitespaceSplit") {
    rules.push_back(cut(PKind::white_space, SplitBehavior::removed));
  } else if (type == "BertPreTokenizer") {
    rules.push_back(cut(PKind::white_space, SplitBehavior::removed));
    rules.push_back(cut(PKind::punctuation, SplitBehavior::isolated));
  } else if (type == "UnicodeScripts") {
    rules.push_back(cut(PKind::scripts, SplitBehavior::isolated));
  } else if (type == "FixedLength") {
    rules.push_back(cut(PKind::length, SplitBehavior::isolated));
    rules.back().length = read_length(node);
  } else if (type == "CharDelimiterSplit") {
    rules.push_back(literal(node.text("delimiter"), SplitBehavior::removed));
  } else if (type == "Metaspace") {
    add_metaspace(rules, node);
  } else {
    node.refuse_type(
        "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, Metaspace, "
        "BertPreTokenizer, UnicodeScripts, FixedLength, Sequence");
  }
}

int32_t read_id(const JsonNode& node) {
  const int64_t id = node.integer();
  if (id < 0 || id > INT32_MAX) node.refuse(cat("is ", id, ", no id of a token"));
  return static_cast<int32_t>(id);
}

/// One side of a TemplateProcessing's "single", with the sequence between.
void add_template(Template& out, const JsonNode& node) {
  Template own;
  int sequences = 0;
  for (const JsonNode& piece : node.at("single").items()) {
    piece.require(Json::Kind::object);
    if (piece.has("Sequence")) {
      ++sequences;
      continue;
    }
    const std::string name = piece.at("SpecialToken").text("id");
    for (const JsonNode& id : node.at("special_tokens").at(name).at("ids").items()) {
      (sequences == 0 ? own.before : own.after).push_back(read_id(id));
    }
  }
  if (sequences != 1) node.at("single").refuse(cat("has the text ", sequences, " times, expected once"));
  out.before.insert(out.before.begin(), own.before.begin(), own.before.end());
  out.after.insert(out.after.end(), own.after.begin(), own.after.end());
}

void add_post_processor(Template& out, const JsonNode& node) {
  const std::string& type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("processors").items()) add_post_processor(out, part);
  } else if (type == "TemplateProcessing") {
    add_template(out, node);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto id_of = [&](const char* key) {  // [text, id]
      const std::vector<JsonNode> pair = node.at(key).items();
      if (pair.size() != 2) node.at(key).refuse("is no pair of a token and its id");
      return read_id(pair[1]);
    };
    out.before.insert(out.before.begin(), id_of("cls"));
    out.after.push_back(id_of("sep"));
  } else if (type != "ByteLevel") {  // which only moves offsets
    node.refuse_type("ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, Sequence");
  }
}

}  // namespace

const std::string& short_text(const JsonNode& node, size_t most) {
  if (node.text().size() > most) node.refuse(cat("has ", node.text().size(), " bytes, at most ", most, " are allowed"));
  return node.text();
}

void check_steps(const JsonNode& node, size_t steps) {
  if (steps > kMostSteps) node.refuse(cat("has ", steps, " steps, at most ", kMostSteps, " are allowed"));
}

std::string metaspace_scheme(const JsonNode& node) {
  std::string scheme = node.flag("add_prefix_space", true) ? "always" : "never";
  if (node.has("prepend_scheme")) scheme = node.text("prepend_scheme");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    node.at("prepend_scheme").refuse(cat("is '", scheme.substr(0, 60), "'; supported are always, first, never"));
  }
  return scheme;
}

std::pair<std::string, bool> read_pattern(const JsonNode& node) {
  node.require(Json::Kind::object);
  if (node.has("String")) return {node.text("String"), false};
  if (node.has("Regex")) return {node.text("Regex"), true};
  node.refuse("is neither a String nor a Regex");
}

std::vector<NormalizerRule> read_normalizer(const JsonNode& node) {
  std::vector<NormalizerRule> out;
  if (!node.is_null()) add_normalizer(out, node);
  check_steps(node, out.size());
  return out;
}

PieceRules read_pre_tokenizer(const JsonNode& node) {
  PieceRules out;
  if (!node.is_null()) add_pre_tokenizer(out, node);
  check_steps(node, out.rules.size());
  return out;
}

Template read_post_processor(const JsonNode& node) {
  Template out;
  if (!node.is_null()) add_post_processor(out, node);
  return out;
}

}  // namespace trireme
