// The committed small tokenizer, made by Hugging Face's trainer (tests/golden/tokenizer).
#pragma once

#include <random>
#include <string>

#include "tokenizer/tokenizer.h"

namespace trireme::testing {

inline std::string golden_path(const std::string& name = "") {
  return std::string(TRIREME_SOURCE_DIR "/tests/golden/tokenizer/") + name;
}

inline Tokenizer small_tokenizer() { return Tokenizer::load(golden_path()); }

inline std::string random_bytes(std::mt19937& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

}  // namespace trireme::testing
