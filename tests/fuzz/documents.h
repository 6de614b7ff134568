// What every reader of documents promises, for the targets that feed them: it ends, and one that goes on behind a
// document gives what follows it.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/text_reader.h"

namespace trireme {

constexpr size_t kMostDocuments = 10'000;

/// Documents to the end, and the error that it ends in, if one.
inline std::vector<std::string> rest_of(DocumentReader& reader) {
  std::vector<std::string> documents;
  try {
    for (std::string document; documents.size() < kMostDocuments && reader.next(document); document.clear()) {
      documents.push_back(document);
    }
  } catch (const Error& error) {
    documents.push_back(error.what());
  }
  return documents;
}

/// open() makes a reader. What it throws passes through.
template <class Open>
void check_reader(Open open) {
  const auto reader = open();
  std::string first;
  if (!reader->next(first)) return;
  const uint64_t place = reader->position();
  if (place == 0) std::abort();
  const auto other = open();
  other->go_on(place);
  if (rest_of(*reader) != rest_of(*other)) std::abort();
  if (reader->file_position() > (uint64_t{1} << 60)) std::abort();
}

}  // namespace trireme
