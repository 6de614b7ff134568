// Any bytes as a folder of files: parts that begin with the line `==> NAME <==`. Whatever reads folders refuses it with
// a ConfigError or IoError, or reads it: tokenizers of every kind, chat templates, sets of documents, a token file's
// meta.json. A tokenizer that can be saved is the same when it is read again.
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "chat/chat_template.h"
#include "data/indexed.h"
#include "data/token_file_info.h"
#include "fuzz/documents.h"
#include "fuzz/input.h"
#include "tokenizer/folder.h"
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
                               "t.meta.json",
                               "messages.json",
                               "a.txt",
                               "a.csv",
                               "a.jsonl.gz",
                               "a.json.zst",
                               "a.parquet",
                               "a.other",
                               "t.bin",
                               "t.idx",
                               "t_ids.npy",
                               "t_ids.npz",
                               "t_idx.npz"};

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

void use_tokenizer(const std::string& folder) {
  for (const char* name : kNames) {
    if (!files::exists(folder + "/" + name)) continue;
    attempt([&] { has_tokenizer(folder + "/" + name); });
  }
  const TokenizerPlace place = find_tokenizer(folder);
  for (const std::string& name : tokenizer_files(place)) {
    if (!files::exists(place.folder + "/" + name)) std::abort();
  }
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const std::string text = "the <s> oars<|endoftext|> 春眠\n\xFF 12";
  for (const bool special : {false, true}) attempt([&] { tokenizer.decode(tokenizer.encode(text, special)); });
  attempt([&] {
    const std::string saved = empty_folder("saved");
    tokenizer.save(saved);
    if (Tokenizer::load(saved).fingerprint() != tokenizer.fingerprint()) std::abort();
  });
}

void use_tokens(const std::string& prefix) {
  const IndexedDataset dataset(prefix);
  if (dataset.num_tokens() > int64_t{1} << 20) return;
  for (int64_t d = 0; d < dataset.num_documents(); ++d) {
    std::vector<int32_t> ids(static_cast<size_t>(dataset.document_length(d)));
    dataset.read_document(ids, d, 0);
  }
}

void use_chat(const std::string& folder) {
  const ChatTemplate chat = ChatTemplate::load(folder);
  const std::string own = folder + "/messages.json";
  const Json messages =
      files::exists(own)
          ? read_json(own)
          : Json::parse(R"([{"role": "user", "content": "a"}, {"role": "assistant", "thinking": "b"}])", "messages");
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
    options.variables["messages"] = 1;  // refused
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
  attempt([&] {
    const std::optional<TokenFileInfo> info = read_token_file_info(folder + "/t");
    if (!info) return;
    write_file(folder + "/again.meta.json", info->str());
    if (read_token_file_info(folder + "/again")->str() != info->str()) std::abort();
    require_tokenizer(folder + "/t", 1, 2);
  });
  attempt([&] { check_reader([&] { return open_documents(folder, {"text", ""}); }); });
  attempt([&] {
    for (const std::string& file : source_files(folder))
      check_reader([&] { return open_documents(file, {"text", "%"}); });
  });
  for (const char* name : {"a.txt", "a.csv", "a.jsonl.gz", "a.json.zst", "a.parquet", "a.other"}) {
    if (!files::exists(folder + "/" + name)) continue;
    attempt([&] { check_reader([&] { return open_documents(folder + "/" + name, {"text", "blank"}); }); });
  }
  for (const char* name : {"t", "t.bin"}) attempt([&] { use_tokens(folder + "/" + name); });
  return 0;
}
