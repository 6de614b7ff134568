// Decoders: all that happens to single tokens is done to each token once, when the file is read; what remains for the
// text as a whole is stripping its ends.
#include <algorithm>

#include "base/strings.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/read_rules.h"

namespace trireme {
namespace {

/// The byte that a token like <0x0A> stands for, or -1.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

std::string_view strip(std::string_view text, std::string_view what, int64_t start, int64_t stop) {
  for (int64_t i = 0; i < start && text.starts_with(what); ++i) text.remove_prefix(what.size());
  for (int64_t i = 0; i < stop && text.ends_with(what); ++i) text.remove_suffix(what.size());
  return text;
}

bool is_one_character(std::string_view text) {
  return !text.empty() && static_cast<size_t>(utf8_length(text, 0)) == text.size();
}

constexpr char kSupported[] = "ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, Sequence";

}  // namespace

TokenDecoder::TokenDecoder(const JsonNode& node) {
  if (!node.is_null()) {
    read(node);
  } else {
    steps_.push_back({Step::Kind::join});  // without a decoder, tokens are words with blanks between
    first_differs_ = true;
  }
}

void TokenDecoder::read(const JsonNode& node) {
  const std::string& type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("decoders").items()) read(part);
  } else if (type == "Fuse") {
    fused_ = true;
  } else if (type == "ByteFallback") {
    if (fused_) node.refuse("follows a Fuse, behind which no single tokens are left");
    steps_.push_back({Step::Kind::byte_fallback});
  } else if (type == "Replace") {
    const JsonNode pattern = node.at("pattern");
    const auto [text, regex] = read_pattern(pattern);
    if (fused_ && (regex || !is_one_character(text))) {
      pattern.refuse(
          "is not one character; behind a Fuse, where what it finds may lie in several tokens, that is not supported");
    }
    if (regex || !text.empty()) steps_.push_back({Step::Kind::replace, text, node.text("content")});
    if (regex) steps_.back().regex.emplace(text);
  } else if (type == "Strip") {
    const JsonNode content = node.at("content");
    if (!is_one_character(content.text())) content.refuse("is not one character");
    Step step{Step::Kind::strip, content.text(), "", node.at("start").integer(), node.at("stop").integer(), {}};
    if (!fused_) return steps_.push_back(std::move(step));
    if (!ends_.text.empty()) node.refuse("is the second Strip behind a Fuse; one is supported");
    ends_ = std::move(step);
  } else if (type == "Metaspace") {
    if (fused_) node.refuse("follows a Fuse, behind which no single tokens are left");
    const bool prefix =
        node.has("prepend_scheme") ? node.text("prepend_scheme") != "never" : node.flag("add_prefix_space", true);
    steps_.push_back({Step::Kind::metaspace, node.text("replacement"), prefix ? "prefix" : ""});
    first_differs_ = first_differs_ || prefix;
  } else if (type == "ByteLevel") {
    node.refuse("is for vocabularies whose pre_tokenizer ends in ByteLevel; this one does not");
  } else {
    node.refuse_type(kSupported);
  }
}

std::string TokenDecoder::apply(std::string_view spelling, bool first) {
  const size_t limit = 16 * spelling.size() + 256;  // all tokens of a file stay within a small multiple of it
  std::string out(spelling);
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Step::Kind::byte_fallback:
        if (const int byte = fallback_byte(out); byte >= 0) out = std::string(1, static_cast<char>(byte));
        break;
      case Step::Kind::replace:
        out = step.regex ? replace_matches(*step.regex, out, step.content, limit, scratch_)
                         : replace_all(out, step.text, step.content, limit);
        break;
      case Step::Kind::strip: out = std::string(strip(out, step.text, step.start, step.stop)); break;
      case Step::Kind::metaspace:
        // The first token loses its marks: they stand for the blank that encoding puts before a text.
        if (!step.text.empty()) out = replace_all(out, step.text, first && !step.content.empty() ? "" : " ", limit);
        break;
      case Step::Kind::join:
        if (!first) out.insert(out.begin(), ' ');
        break;
    }
  }
  return out;
}

void TokenDecoder::set_ends(DecodeRules& rules) const {
  rules.strip = ends_.text;
  rules.strip_start = std::max<int64_t>(ends_.start, 0);
  rules.strip_stop = std::max<int64_t>(ends_.stop, 0);
}

void require_byte_level_decoder(const JsonNode& node) {
  if (node.is_null()) node.refuse("is null; a byte-level vocabulary needs the ByteLevel decoder");
  if (node.type() == "ByteLevel") return;
  if (node.type() != "Sequence") node.refuse_type("ByteLevel, for a vocabulary whose pre_tokenizer ends in ByteLevel");
  const std::vector<JsonNode> parts = node.at("decoders").items();
  for (const JsonNode& part : parts) {
    if (part.type() != "Fuse") require_byte_level_decoder(part);
  }
}

}  // namespace trireme
