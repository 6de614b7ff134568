// Any bytes as a folder of files: parts that begin with the line `==> NAME <==`. Whatever reads folders refuses it with
// a ConfigError or IoError, or reads it: tokenizers of every kind, chat templates, sets of documents, a token file's
// meta.json. A tokenizer that can be saved is the same when it is read again.
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "chat/chat_template.h"
#include "data/text_reader.h"
#include "data/token_file_info.h"
#include "tokenizer/tokenizer.h"

namespace {

using namespace trireme;
namespace files = std::filesystem;

constexpr std::array kNames = {"tokenizer.json",
                               "tokenizer_config.json",
                               "special_tokens_map.json",
                               "added_tokens.json",
                               "vocab.json",
                               "merges.txt",
                               "tokenizer.model",
                               "any.tiktoken",
                               "cl100k_base.tiktoken",
                               "vocab.txt",
                               "vocabs.txt",
                               "dict.txt",
                               "prob_start.py",
                               "prob_trans.py",
                               "prob_emit.py",
                               "chat_template.jinja",
                               "additional_chat_templates/tool_use.jinja",
                               "meta.bin",
                               "data",
                               "data.len.pkl",
                               "t.meta.json"};

/// A folder in memory, of this process, empty.
std::string empty_folder(const char* name) {
  const files::path folder = files::path("/dev/shm") / ("trireme-fuzz-" + std::to_string(getpid())) / name;
  files::remove_all(folder);
  files::create_directories(folder / "additional_chat_templates");
  return folder.string();
}

/// Removes this process' folders at its end.
struct Cleaner {
  ~Cleaner() {
    std::error_code error;
    files::remove_all(files::path("/dev/shm") / ("trireme-fuzz-" + std::to_string(getpid())), error);
  }
};

void write_part(const std::string& folder, std::string_view name, std::string_view content) {
  for (const char* known : kNames) {
    if (name == known) write_file(folder + "/" + known, content);
  }
}

void write_parts(const std::string& folder, std::string_view all) {
  constexpr std::string_view kBegin = "==> ", kEnd = " <==\n";
  while (all.starts_with(kBegin)) {
    const size_t end = all.find(kEnd);
    if (end == std::string_view::npos) return;
    const std::string_view name = all.substr(kBegin.size(), end - kBegin.size());
    all.remove_prefix(end + kEnd.size());
    const size_t next = std::min(all.find("\n==> "), all.size());
    write_part(folder, name, all.substr(0, next));
    all.remove_prefix(std::min(next + 1, all.size()));
  }
}

template <class Fn>
void attempt(Fn fn) {
  try {
    fn();
  } catch (const IoError&) {
  } catch (const ConfigError&) {}
}

void use_tokenizer(const std::string& folder) {
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const std::string text = "the <s> oars<|endoftext|> 春眠\n\xFF 12";
  for (const bool special : {false, true}) attempt([&] { tokenizer.decode(tokenizer.encode(text, special)); });
  attempt([&] {
    const std::string saved = empty_folder("saved");
    tokenizer.save(saved);
    if (Tokenizer::load(saved).fingerprint() != tokenizer.fingerprint()) std::abort();
  });
}

void use_chat(const std::string& folder) {
  const ChatTemplate chat = ChatTemplate::load(folder);
  const Json messages =
      Json::parse(R"([{"role": "user", "content": "a"}, {"role": "assistant", "thinking": "b"}])", "m");
  for (const std::string& name : chat.names()) {
    attempt([&] {
      ChatOptions options;
      options.name = name;
      options.limits = {.steps = 50'000, .memory = 4 << 20, .output = 1 << 20};
      chat.apply(messages, options);
    });
  }
  attempt([&] {
    ChatOptions options;
    options.tools = Json::array();
    chat.apply(messages, options);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Cleaner cleaner;
  const std::string folder = empty_folder("in.lazy");
  write_parts(folder, {reinterpret_cast<const char*>(data), size});
  attempt([&] { use_tokenizer(folder); });
  attempt([&] { use_chat(folder); });
  attempt([&] { read_token_file_info(folder + "/t"); });
  attempt([&] {
    const auto reader = open_documents(folder, {"text", ""});
    for (std::string document; reader->next(document); document.clear()) {}
  });
  return 0;
}
