// Columns of text in Apache Parquet files (parquet-format 2.x), row by row with the memory of a page: flat columns of
// byte arrays, required or optional (a null is an empty text), PLAIN and dictionary encodings, pages of version 1 and
// 2, not packed or packed by Snappy or zstd. Nothing in the file is believed: sizes are held against what holds them.
#pragma once

#include <memory>
#include <string>

#include "base/byte_stream.h"
#include "data/text_reader.h"

namespace trireme {

/// The text of `column`, or of several joined by '+'. IoError naming file and byte where the file is damaged,
/// ConfigError where there is no such column, naming those there are, or it is of a kind that is not read.
std::unique_ptr<DocumentReader> read_parquet(std::unique_ptr<ByteStream> file, const std::string& column);

}  // namespace trireme
