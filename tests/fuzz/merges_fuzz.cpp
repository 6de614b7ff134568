// Any bytes as the files of a tokenizer: VOCAB \0 CONFIG \0 MERGES, where VOCAB is what follows the 256 bytes in a
// vocab.json. They are refused with a ConfigError or IoError, or give a tokenizer that keeps every byte of a text.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "fuzz/input.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/read.h"
#include "tokenizer/tokenizer.h"

namespace {

std::string byte_members() {
  std::string out;
  int id = 0;
  for (const uint8_t byte : trireme::alphabet_order()) {
    const trireme::Json spelling(trireme::spell_bytes(std::string(1, static_cast<char>(byte))));
    out += spelling.dump() + ":" + std::to_string(id++) + ",";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  static const std::string kBytes = byte_members();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view rest = text;
  const std::string vocab_text = cat("{", kBytes, take_part(rest), "}");
  const std::string_view config = take_part(rest);
  try {
    const Json vocab = Json::parse(vocab_text, "vocab.json");
    SpecialTokens special;
    if (!config.empty()) special.add_config(Json::parse(config, "tokenizer_config.json"));
    const VocabularyText files{vocab, parse_merges(rest, "merges.txt"), "vocab.json", "merges.txt"};
    const Tokenizer tokenizer(make_spec(files, special));
    for (const bool with_special : {false, true}) {
      if (tokenizer.decode(tokenizer.encode(text, with_special)) != text) std::abort();
    }
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
