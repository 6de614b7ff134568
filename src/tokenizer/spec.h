// What a byte-level BPE tokenizer is, as plain data: the form that readers and the trainer make, that the
// encoder is built from and that writers write.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace trireme {

/// Two neighbouring tokens that become one. A merge's rank is its index: lower ranks are applied first.
struct Merge {
  int32_t left, right, product;
};

/// Holds: every byte is a token of its own, no token is empty, a merge's product is spelled by its parts,
/// no pair has two merges.
struct TokenizerSpec {
  std::vector<std::string> tokens;       // bytes by id
  std::vector<Merge> merges;             // by rank
  std::vector<int32_t> special;          // ids of tokens that text never becomes by itself, ascending
  std::map<std::string, int32_t> roles;  // e.g. "eos_token": the names of Hugging Face's files
};

}  // namespace trireme
