// manifest.json: what a checkpoint consists of. It is written last, and a folder without a valid one is no checkpoint.
// Its text ends in a trailer of fixed length with the bytes and the XXH3-64 of all before it, so that a cut or changed
// manifest is recognised before its JSON is read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "checkpoint/block_file.h"
#include "params/spec.h"

namespace trireme {

constexpr std::string_view kManifestName = "manifest.json";
constexpr int64_t kFormatVersion = 1;     // of what this program writes, and the newest it reads
constexpr int64_t kMinReaderVersion = 1;  // of the readers that understand it

/// Where one box of a tensor lies.
struct PartRecord {
  size_t file = 0;      // index into Manifest::files
  uint64_t offset = 0;  // of its first byte in the file
  Box box;
};

struct TensorRecord {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;  // global, unpadded
  std::vector<PartRecord> parts;
};

struct Manifest {
  int64_t step = 0;
  Hash128 state_hash;
  Json info = Json::object();  // facts for people (tokens, seed, recipe hash, ...); not part of the state
  std::vector<FileRecord> files;
  std::vector<TensorRecord> weights;    // under Hugging Face names
  std::vector<TensorRecord> optimizer;  // under our parameters' names: "<param>.exp_avg", ...
};

std::string manifest_text(const Manifest& manifest);

/// Reads and checks such a text: trailer, version, every name, size and box. IoError with `where` and what is wrong.
Manifest parse_manifest(std::string_view text, const std::string& where);

/// Reads the manifest of one rank's files: tensors may be there in part.
Manifest parse_partial_manifest(std::string_view text, const std::string& where);
/// Adds another rank's files, tensors and state hash.
void merge(Manifest& into, const Manifest& part);

}  // namespace trireme
