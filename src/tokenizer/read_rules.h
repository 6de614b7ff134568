// The parts of a tokenizer.json that stand around its model, read into rules. Each takes the part's value, which may be
// null, and throws a ConfigError naming line, path and what is supported where it is of an unknown kind.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tokenizer/json_node.h"
#include "tokenizer/spec.h"

namespace trireme {

/// The pattern of a {"String": ...}, or of a {"Regex": ...} and true.
std::pair<std::string, bool> read_pattern(const JsonNode& node);

/// A Metaspace's always, first or never.
std::string metaspace_scheme(const JsonNode& node);

/// What is put before or behind every stretch of text: no more bytes than make sense.
const std::string& short_text(const JsonNode& node, size_t most = 256);

/// How many steps, of which a Sequence may have other Sequences', a normalizer, pre-tokenizer or decoder may have: each
/// goes over the whole text.
constexpr size_t kMostSteps = 1000;
void check_steps(const JsonNode& node, size_t steps);

std::vector<NormalizerRule> read_normalizer(const JsonNode& node);

struct PieceRules {
  std::vector<PieceRule> rules;
  bool byte_level = false;  // the chain ends in ByteLevel: the vocabulary is spelled in the byte alphabet
};
PieceRules read_pre_tokenizer(const JsonNode& node);

/// The ids that the post-processor puts before and behind a text.
struct Template {
  std::vector<int32_t> before, after;
};
Template read_post_processor(const JsonNode& node);

/// The steps of the decoder; fuse and byte_level make one text of all tokens.
std::vector<DecodeStep> read_decoder(const JsonNode& node);

/// Whether they do no more than a byte-level vocabulary asks for.
bool is_byte_level_decoder(const std::vector<DecodeStep>& steps);

/// Sets `tokens`, and of spec.decode what is left to do when ids are decoded: nothing to single tokens, where each
/// becomes the same wherever it stands. `spellings`: by id, "" for a hole.
void set_decoder(TokenizerSpec& spec, const std::vector<DecodeStep>& steps, std::vector<std::string> spellings);

}  // namespace trireme
