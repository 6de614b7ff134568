// What a recipe says about its data: where it comes from, how it is cut into samples, in which order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// trireme: sample i is a pure function of (seed, i), whatever the length of the run. The others are the orders of
/// other systems for the same files and seed; they depend on the number of samples of the whole run.
enum class DataOrder : uint8_t { trireme, megatron, megatron_v1_1_5, paddle };
constexpr std::array<std::string_view, 4> kDataOrderNames = {"trireme", "megatron", "megatron-v1.1.5", "paddle"};

struct DataConfig {
  std::string source;                          // text to prepare where the token files are missing
  std::string column = "text";                 // of a CSV or JSON source
  std::string document_separator;              // line that ends a .txt document, "blank" for empty lines; empty: none
  bool append_eos = true;                      // end every document with the end-of-text token
  std::string prefix;                          // token files PREFIX.bin and PREFIX.idx
  std::vector<std::string> blend;              // instead of prefix: several, each PREFIX:WEIGHT
  std::array<double, 3> split = {949, 50, 1};  // shares of train, validation and test documents
  int64_t sequence_length = 256;               // tokens of one sample, T
  int64_t micro_batch_size = 8;                // samples that go through the model at once, B
  int64_t global_batch_size = 0;               // samples of one optimizer step; 0: set by app/
  int64_t seed = 1234;                         // of the order
  DataOrder order = DataOrder::trireme;        // of the samples

  bool operator==(const DataConfig&) const = default;
};

}  // namespace trireme
