// Decoders: what happens to single tokens is done to each token once, when the file is read, if it is the same wherever
// the token stands; what remains is done to the text, or where tokens depend on their neighbours, when ids are decoded.
#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "tokenizer/decode_chain.h"
#include "tokenizer/read_rules.h"

namespace trireme {
namespace {

using Kind = DecodeStep::Kind;

bool is_one_character(std::string_view text) {
  return !text.empty() && static_cast<size_t>(utf8_length(text, 0)) == text.size();
}

int64_t read_count(const JsonNode& node) {
  if (node.integer() < 0) node.refuse(cat("is ", node.integer(), ", expected 0 or more"));
  return node.integer();
}

bool fuses(const DecodeStep& step) { return step.kind == Kind::fuse || step.kind == Kind::byte_level; }

void add_decoder(std::vector<DecodeStep>& out, const JsonNode& node) {
  const std::string& type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("decoders").items()) add_decoder(out, part);
  } else if (type == "Fuse") {
    out.push_back({Kind::fuse});
  } else if (type == "ByteLevel") {
    out.push_back({Kind::byte_level});
  } else if (type == "ByteFallback") {
    out.push_back({Kind::byte_fallback});
  } else if (type == "Replace") {
    const auto [text, regex] = read_pattern(node.at("pattern"));
    out.push_back({regex ? Kind::replace_regex : Kind::replace, text, node.text("content")});
  } else if (type == "Strip") {
    const JsonNode content = node.at("content");
    if (!is_one_character(content.text())) content.refuse("is not one character");
    out.push_back({Kind::strip, content.text(), "", read_count(node.at("start")), read_count(node.at("stop"))});
  } else if (type == "Metaspace") {
    out.push_back({Kind::metaspace, node.text("replacement"), "", 0, 0, metaspace_scheme(node) != "never"});
  } else if (type == "WordPiece") {
    out.push_back({Kind::word_piece, node.text("prefix"), "", 0, 0, node.required_flag("cleanup")});
  } else if (type == "BPEDecoder") {
    out.push_back({Kind::suffix, node.text("suffix")});
  } else if (type == "CTC") {
    const std::string& delimiter = node.text("word_delimiter_token");
    out.push_back({Kind::ctc, node.text("pad_token"), delimiter, 0, 0, node.required_flag("cleanup")});
  } else {
    node.refuse_type("ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, WordPiece, BPEDecoder, CTC, Sequence");
  }
}

/// Whether every token becomes the same wherever it stands, but for the first.
bool is_of_single_tokens(const std::vector<DecodeStep>& steps) {
  return std::all_of(steps.begin(), steps.end(), [&](const DecodeStep& step) {
    // Bytes in a row are one token to what follows.
    if (step.kind == Kind::byte_fallback) return &step == &steps.back();
    return step.kind != Kind::suffix && step.kind != Kind::ctc;
  });
}

}  // namespace

std::vector<DecodeStep> read_decoder(const JsonNode& node) {
  std::vector<DecodeStep> out;
  if (!node.is_null()) {
    add_decoder(out, node);
    check_steps(node, out.size());
  } else {
    out.push_back({Kind::join});  // without a decoder, tokens are words with blanks between
  }
  return out;
}

bool is_byte_level_decoder(const std::vector<DecodeStep>& steps) {
  return !steps.empty() && steps[0].kind == Kind::byte_level &&
         std::all_of(steps.begin() + 1, steps.end(), [](const DecodeStep& step) { return step.kind == Kind::fuse; });
}

void set_decoder(TokenizerSpec& spec, const std::vector<DecodeStep>& steps, std::vector<std::string> spellings) {
  auto split = std::find_if(steps.begin(), steps.end(), fuses);
  if (split != steps.end() && split->kind == Kind::byte_level) ++split;
  DecodeRules& rules = spec.decode;
  rules.token_steps = {steps.begin(), split};
  const DecodeChain chain(rules);
  rules.text_steps = text_steps({split, steps.end()});
  const bool of_single_tokens = is_of_single_tokens(rules.token_steps);
  for (size_t id = 0; id < spellings.size(); ++id) {
    if (spellings[id].empty()) {
      rules.holes.push_back(static_cast<int32_t>(id));
      continue;
    }
    spec.tokens[id] = chain.token(spellings[id], false);
    if (!of_single_tokens) continue;
    std::string first = chain.token(spellings[id], true);
    if (first != spec.tokens[id]) rules.first.emplace(static_cast<int32_t>(id), std::move(first));
  }
  if (of_single_tokens) {
    rules.token_steps.clear();
  } else {
    rules.spellings = std::move(spellings);
  }
}

}  // namespace trireme
