// What all formats of token files come down to: ids of one type back to back, and tables that cut them into sequences
// and documents. Each format has a reader that believes nothing: every count is held against the size of the files
// before it is used. Formats, tried in this order:
//   PREFIX.bin, PREFIX.idx            Megatron-LM (MMIDIDX, or the older TNTIDX)
//   PREFIX_ids.npy, PREFIX_idx.npz    PaddleFleetX: lens (ids of each sequence), docs (first sequence of each document)
//   PREFIX_ids.npz                    its older single file, with ids and lens
//   PREFIX, or PREFIX.bin alone       a shard of llm.c: one document
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/token_type.h"

namespace trireme {

/// Little-endian integers of 4 or 8 bytes, aligned or not.
struct IntegerTable {
  const std::byte* data = nullptr;
  int64_t size = 0;
  int64_t width = 8;
  int64_t file_offset = -1;  // of data, in the index file; -1: it does not lie there

  int64_t operator[](int64_t i) const {
    if (width == 4) {
      int32_t value;
      std::memcpy(&value, data + 4 * i, sizeof value);
      return value;
    }
    int64_t value;
    std::memcpy(&value, data + 8 * i, sizeof value);
    return value;
  }
  /// "byte 38", or "entry 1" where it does not lie in a file.
  std::string place(int64_t i) const;
};

struct TokenTables {
  std::string format;                // for people
  std::string ids_name, index_name;  // of the files, for errors
  TokenType type = TokenType::u16;
  std::span<const std::byte> ids;  // from the first id to the end of the file
  int64_t ids_offset = 0;          // of the first id in its file
  IntegerTable lengths;            // ids of each sequence
  IntegerTable begins;             // of each sequence in `ids`, in units of
  int64_t begin_unit = 1;          // so many bytes
  IntegerTable documents;          // first sequence of each document, then the number of sequences

  TokenTables() = default;
  TokenTables(TokenTables&&) = default;  // tables may point into `made` and `unpacked`
  TokenTables& operator=(TokenTables&&) = default;

  /// A table that lies in no file.
  IntegerTable make_table(std::vector<int64_t> values);

  std::vector<std::vector<int64_t>> made;
  std::vector<std::vector<std::byte>> unpacked;
};

/// First number of llm.c's shards of u16 and of u32 ids.
constexpr int32_t kLlmcMagic = 20240520, kLlmcWideMagic = 20240801;

/// IoError "NAME: PLACE: detail", with what to do.
[[noreturn]] void fail_index(const std::string& name, const std::string& place, const std::string& detail);

// Readers of each format from bytes, which must outlive the tables. IoError naming file and offset.
TokenTables read_megatron(const std::string& prefix, std::span<const std::byte> bin, std::span<const std::byte> idx);
TokenTables read_tntidx(const std::string& prefix, std::span<const std::byte> bin, std::span<const std::byte> idx);
/// `ids`: an .npy file or, in the older single file, empty.
TokenTables read_paddle(const std::string& prefix, std::span<const std::byte> ids, std::span<const std::byte> npz);
TokenTables read_llmc(const std::string& name, std::span<const std::byte> bytes);

/// Whether there are token files of any format under this prefix.
bool has_token_files(const std::string& prefix);

struct MappedTokens {
  std::vector<MappedFile> files;
  TokenTables tables;
};
/// Maps the files and reads their tables. IoError where they are missing, foreign or damaged.
MappedTokens map_token_files(const std::string& prefix);

}  // namespace trireme
