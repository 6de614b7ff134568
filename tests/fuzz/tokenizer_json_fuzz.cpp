// Any bytes as a tokenizer.json, a zero byte, and a text. The file is refused with a ConfigError or IoError, or gives a
// tokenizer that encodes the text into ids of its vocabulary, and decodes them alike at once and one by one.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/read.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(all.find('\0'), all.size());
  const std::string_view text = all.substr(std::min(zero + 1, all.size()));
  try {
    const Json root = Json::parse(all.substr(0, zero), "tokenizer.json");
    const Tokenizer tokenizer(make_json_spec(root, {}));
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
