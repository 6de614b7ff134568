// Small token files made in memory, for tests of what reads them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/indexed_writer.h"

namespace trireme::testing {

/// Writes PREFIX.bin and PREFIX.idx with one sequence a document.
inline void write_token_files(const std::string& prefix, const std::vector<std::vector<int32_t>>& documents,
                              TokenType type = TokenType::u16) {
  IndexedWriter writer(prefix, type);
  for (const std::vector<int32_t>& ids : documents) {
    writer.add_sequence(ids);
    writer.end_document();
  }
  writer.commit("{}\n");
}

/// Documents of the given lengths with the ids 0, 1, 2, ... through all of them, so that an id tells its place.
inline std::vector<std::vector<int32_t>> counted_documents(const std::vector<int64_t>& lengths) {
  std::vector<std::vector<int32_t>> documents;
  int32_t id = 0;
  for (const int64_t length : lengths) {
    documents.emplace_back();
    for (int64_t i = 0; i < length; ++i) documents.back().push_back(id++);
  }
  return documents;
}

}  // namespace trireme::testing
