// Any bytes as a text source of every kind: they are refused with an error, or read to the end. What a CSV file holds,
// written again with every field quoted, reads back equal.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/text_reader.h"

namespace {

using namespace trireme;

std::vector<std::string> read_all(std::string_view text, const std::string& name, const TextOptions& options) {
  const auto reader = read_documents(text, name, options);
  std::vector<std::string> documents;
  for (std::string document; reader->next(document); document.clear()) documents.push_back(document);
  if (reader->position() != text.size()) std::abort();
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
    } catch (const ConfigError&) {
    } catch (const IoError&) {}
  }
  return 0;
}
