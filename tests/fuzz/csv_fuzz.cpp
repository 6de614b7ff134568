// Any bytes as a text source of every kind: they are refused with an error, or read to the end. What a CSV file holds,
// written again with every field quoted, reads back equal. A window of three bytes gives what one of the whole text
// does.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/csv.h"
#include "data/json_text.h"
#include "fuzz/documents.h"

namespace {

using namespace trireme;

std::vector<std::string> read_all(std::string_view text, const std::string& name, const TextOptions& options) {
  const auto reader = read_documents(text, name, options);
  std::vector<std::string> documents;
  for (std::string document; reader->next(document); document.clear()) documents.push_back(document);
  if (reader->position() != text.size()) std::abort();
  return documents;
}

/// All documents, or those before an error and its text.
template <class Reader, class... Args>
std::vector<std::string> outcome(std::string_view text, size_t chunk_bytes, Args... args) {
  std::vector<std::string> documents;
  try {
    Reader reader(TextCursor(memory_stream(text, "fuzz"), chunk_bytes), args...);
    for (std::string document; reader.next(document); document.clear()) documents.push_back(document);
  } catch (const Error& error) {
    documents.push_back(error.what());
  }
  return documents;
}

std::string quoted(const std::vector<std::string>& documents) {
  std::string out = "text\n";
  for (const std::string& document : documents) {
    out += '"';
    for (const char c : document) out.append(c == '"' ? 2 : 1, c);
    out += "\"\n";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"a.csv", "a.jsonl", "a.json", "a.txt"}) {
    try {
      const std::vector<std::string> documents = read_all(text, name, {"text", "%"});
      if (read_all(quoted(documents), "again.csv", {"text", ""}) != documents) std::abort();
      check_reader([&] { return read_documents(text, name, {"text", "%"}); });
    } catch (const ConfigError&) {
    } catch (const IoError&) {}
  }
  const std::string column = "text";
  if (outcome<CsvReader>(text, 3, column) != outcome<CsvReader>(text, size + 1, column)) std::abort();
  for (const bool lines : {true, false})
    if (outcome<JsonTextReader>(text, 3, column, lines) != outcome<JsonTextReader>(text, size + 1, column, lines))
      std::abort();
  return 0;
}
