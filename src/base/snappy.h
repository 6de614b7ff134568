// Snappy's raw format (github.com/google/snappy, format_description.txt), as Parquet's pages have it.
#pragma once

#include <cstddef>
#include <span>

namespace trireme {

/// Unpacks into `out`, which it must fill exactly; false where the bytes are damaged or do not.
bool unsnappy_block(std::span<std::byte> out, std::span<const std::byte> packed);

}  // namespace trireme
