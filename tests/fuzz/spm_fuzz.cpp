// Any bytes as a SentencePiece model: N, N bytes of text, MODEL. It is refused with a ConfigError or IoError, or
// encodes the text into ids of its vocabulary, which decode at once as they do one by one.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  if (size == 0) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string_view text = all.substr(0, std::min<size_t>(data[0], all.size()));
  try {
    SpmModel model = read_spm(all.substr(text.size()), "fuzz.model");
    TokenizerSpec spec = spm_spec(model);
    const SpmOptions options{.legacy = size % 2 == 0};
    auto parts_model = std::make_unique<SentencePiece>(std::move(model), spec, options, "fuzz.model");
    const Tokenizer tokenizer(TokenizerParts{std::move(spec), std::move(parts_model), nullptr, {}});
    for (const bool special : {false, true}) {
      const std::vector<int32_t> ids = tokenizer.encode(text, special);
      StreamDecoder decoder(tokenizer);
      std::string streamed;
      for (const int32_t id : ids) streamed += decoder.push(id);
      if (streamed + decoder.finish() != tokenizer.decode(ids)) std::abort();
    }
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
