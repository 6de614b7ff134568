// Any bytes as CPM's vocabulary: VOCAB \0 TEXT. It is refused with an IoError or ConfigError, or encodes the text, also
// as one in CPM-Bee's language; with byte tokens every text comes back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tokenizer/cpm_vocabulary.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string_view file = all.substr(0, all.find('\0'));
  const std::string_view text = all.substr(std::min(file.size() + 1, size));
  try {
    const CpmVocabulary vocabulary = read_cpm_vocabulary(file, "vocab.txt");
    const CpmTokenizer tokenizer(vocabulary);
    for (const bool special : {false, true}) {
      std::vector<int32_t> ids;
      tokenizer.encoder()->encode(ids, {text, special});
      std::string decoded;
      DecodeState state;
      for (const int32_t id : ids) {
        if (id < 0 || static_cast<size_t>(id) >= vocabulary.spec.tokens.size()) std::abort();
        tokenizer.decode(decoded, id, state);
      }
      if (vocabulary.has_bytes && decoded != text) std::abort();
    }
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
