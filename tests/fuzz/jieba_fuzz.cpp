// Any bytes as jieba's dictionary and table: DICT \0 EMIT \0 TEXT. They are refused with a ConfigError or IoError, or
// cut the text into words that together are the text.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fuzz/input.h"
#include "tokenizer/jieba.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view dictionary = take_part(text), emit = take_part(text);
  try {
    const Jieba jieba(dictionary, "dict.txt",
                      JiebaModel("P={'B': -0.25, 'S': -1.5}", "P={'B': {'E': -0.5}, 'S': {'B': -0.75}}", emit, "."));
    Jieba::Scratch scratch;
    std::vector<std::string_view> words;
    jieba.cut(words, text, scratch);
    const char* at = text.data();
    for (const std::string_view word : words) {
      if (word.data() != at || word.empty()) std::abort();
      at += word.size();
    }
    if (at != text.data() + text.size()) std::abort();
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
