// The values of one column of a Parquet file, row group by row group, page by page.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "data/parquet_meta.h"

namespace trireme {

/// Runs of equal numbers and packed numbers of up to 32 bits, mixed (parquet-format, Encodings.md, RLE / bit-packing).
class ParquetRuns {
 public:
  ParquetRuns() = default;
  ParquetRuns(std::span<const std::byte> bytes, int width) : bytes_(bytes), width_(width) {}
  /// The next number; false where there is none.
  bool next(uint32_t& value);

 private:
  bool start_run();

  std::span<const std::byte> bytes_;
  int width_ = 0;
  uint64_t left_ = 0;  // of the run
  bool packed_ = false;
  uint32_t value_ = 0;          // of a run of equal ones
  size_t begin_ = 0, bit_ = 0;  // of a packed run: its first byte, bits taken
};

class ParquetColumnReader {
 public:
  /// All must outlive it; `column` is an index of meta.columns.
  ParquetColumnReader(ByteStream& file, const ParquetMeta& meta, size_t column)
      : file_(file), meta_(meta), column_(column) {}

  void start_group(size_t group);
  /// The next value of the group, valid until the next call; empty for a null. IoError where the pages are damaged or
  /// hold fewer values than the footer says.
  std::string_view next();

 private:
  struct Header;

  void read_page();
  Header read_header();
  std::span<const std::byte> unpack(std::vector<std::byte>& memory, std::span<const std::byte> packed, uint64_t size);
  void read_dictionary(const Header& header, std::span<const std::byte> packed);
  void read_values(const Header& header, std::span<const std::byte> packed);
  void split_levels(const Header& header, std::span<const std::byte>& body);
  std::string_view plain(std::span<const std::byte>& bytes);
  [[noreturn]] void fail(const std::string& detail) const;

  ByteStream& file_;
  const ParquetMeta& meta_;
  size_t column_;
  const ParquetChunk* chunk_ = nullptr;
  uint64_t at_ = 0, end_ = 0;  // of the chunk's pages in the file
  std::vector<std::byte> packed_, page_, level_bytes_, dictionary_;
  std::vector<std::string_view> words_;  // of the dictionary
  uint64_t values_left_ = 0;             // in the page, nulls too
  bool has_levels_ = false, uses_words_ = false;
  ParquetRuns levels_, indices_;
  std::span<const std::byte> plain_;  // values not read yet
};

}  // namespace trireme
