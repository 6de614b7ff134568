// What the footer of a Parquet file says, as far as columns of text need it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_stream.h"

namespace trireme {

/// One column within one row group.
struct ParquetChunk {
  int64_t codec = 0, num_values = 0;
  int64_t begin = 0, bytes = 0;  // of its pages in the file
};

struct ParquetColumn {
  std::string name;
  bool flat = true;  // neither repeated nor a part of another
  bool text = true;  // byte arrays
  bool optional = false;
};

struct ParquetMeta {
  std::vector<ParquetColumn> columns;             // leaves, in the order of the file
  std::vector<int64_t> group_rows;                // rows of each group
  std::vector<std::vector<ParquetChunk>> groups;  // of each group, as `columns`
  int64_t num_rows = 0;
  uint64_t file_bytes = 0;
};

/// IoError naming file and byte where the footer is damaged or tells of pages outside of the file.
ParquetMeta read_parquet_meta(ByteStream& file);

}  // namespace trireme
