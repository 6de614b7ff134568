// Any bytes as CPM's vocabulary: VOCAB \0 TEXT. It is refused with an IoError or ConfigError, or encodes the text; with
// byte tokens every text comes back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "tokenizer/cpm_vocabulary.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string_view file = all.substr(0, all.find('\0'));
  const std::string_view text = all.substr(std::min(file.size() + 1, size));
  try {
    CpmVocabulary vocabulary = read_cpm_vocabulary(file, "vocab.txt");
    const bool exact = vocabulary.has_bytes;
    TokenizerSpec spec = vocabulary.spec;
    const Tokenizer tokenizer(
        TokenizerParts{std::move(spec), std::make_unique<CpmTokenizer>(std::move(vocabulary)), nullptr, {}});
    const std::vector<int32_t> ids = tokenizer.encode(text);
    const std::string decoded = tokenizer.decode(ids);
    if (exact && decoded != text) std::abort();
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
