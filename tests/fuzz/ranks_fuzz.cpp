// Any bytes as a rank file behind the 256 bytes: RANKS \0 PATTERN \0 TEXT, where PATTERN may be @ and a file's name. It
// is refused with a ConfigError or IoError, or gives a tokenizer that keeps what its pattern matches, which for the
// known ones is every byte.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fuzz/input.h"
#include "tokenizer/rank_file.h"
#include "tokenizer/tokenizer.h"

namespace {

/// One byte as base64.
std::string base64_of(int byte) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='};
}

std::string byte_lines() {
  std::string out;
  for (int byte = 0; byte < 256; ++byte) out += base64_of(byte) + " " + std::to_string(byte) + "\n";
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  static const std::string kBytes = byte_lines();
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string file = kBytes + std::string(take_part(text));
  std::string pattern(take_part(text)), name = "any.tiktoken";
  if (pattern.starts_with('@')) {
    name = pattern.substr(1);
    pattern.clear();
  }
  is_rank_file(file.substr(kBytes.size()));
  try {
    const Tokenizer tokenizer(read_rank_file({file, name, "fuzz", pattern}, {}));
    const bool known = tokenizer.spec().pieces[0].kind == PieceRule::Kind::scanner;
    for (const bool special : {false, true}) {
      const std::string decoded = tokenizer.decode(tokenizer.encode(text, special));
      if (known && tokenizer.spec().normalizer.empty() && decoded != text) std::abort();
    }
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
