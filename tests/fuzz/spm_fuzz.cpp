// Any bytes as a SentencePiece model: N, N bytes of text, MODEL. It is refused with a ConfigError or IoError, or
// encodes the text into ids of its vocabulary and decodes them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tokenizer/sentencepiece.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  if (size == 0) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string_view text = all.substr(0, std::min<size_t>(data[0], all.size()));
  try {
    SpmModel model = read_spm(all.substr(text.size()), "fuzz.model");
    const TokenizerSpec spec = spm_spec(model);
    const SentencePiece tokenizer(std::move(model), spec, {.legacy = size % 2 == 0}, "fuzz.model");
    const std::unique_ptr<TextEncoder> encoder = tokenizer.encoder();
    for (const bool split : {false, true}) {
      std::vector<int32_t> ids;
      encoder->encode(ids, {text, split, false, split});
      DecodeState state;
      std::string decoded;
      for (const int32_t id : ids) {
        if (id < 0 || static_cast<size_t>(id) >= spec.tokens.size()) std::abort();
        tokenizer.decode(decoded, id, state);
      }
      tokenizer.finish(decoded, state);
    }
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
