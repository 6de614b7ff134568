// Hugging Face folders of tiny models, written for tests of what reads them.
#pragma once

#include <string>

#include "checkpoint/model_io.h"
#include "checkpoint/save.h"
#include "support/plain_model.h"
#include "tokenizer/tokenizer.h"

namespace trireme::testing {

/// Writes config and weights under `folder`; the path of the model's folder.
inline std::string write_model(const std::string& folder, const ModelConfig& config, const PlainModel& plain) {
  CheckpointContent content;
  content.weights = model_weights(config, plain.model.params);
  content.config = config.to_json();
  content.trainer_state = Json::object();
  return save_checkpoint(folder, 1, content, real_file_system(), nullptr).path;
}

constexpr int32_t kPair = 256;  // ".\xE6": ends one thing and begins another
constexpr int32_t kEos = 257;

/// A token a byte, one merge of a full stop and half a character, and an end of text.
inline Tokenizer byte_tokenizer() {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
  spec.tokens.emplace_back(".\xE6");
  spec.tokens.emplace_back("<eos>");
  spec.merges = {{'.', 0xE6, kPair}};
  spec.special = {kEos};
  spec.roles = {{"eos_token", kEos}};
  return Tokenizer(spec);
}

}  // namespace trireme::testing
