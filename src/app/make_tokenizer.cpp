#include "app/make_tokenizer.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/strings.h"
#include "tokenizer/train.h"

namespace trireme {
namespace {

void save(const Tokenizer& tokenizer, std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  FileSystem& fs = real_file_system();
  if (std::filesystem::exists(folder)) return tokenizer.save(folder);
  const std::string temporary = cat(folder, ".tmp-", getpid());
  fs.make_directory(temporary);
  tokenizer.save(temporary);
  failpoint("tokenizer.rename");
  fs.rename(temporary, folder);
}

}  // namespace

Tokenizer make_tokenizer(const std::vector<std::string>& files, const TextOptions& text, const TrainOptions& options,
                         const std::string& out) {
  BpeTrainer trainer(options);
  int64_t documents = 0, bytes = 0;
  std::string part;
  for (const std::string& file : files) {
    const std::unique_ptr<DocumentReader> reader = open_documents(file, text);
    bool ended = true;
    for (part.clear(); reader->next_part(part, ended); part.clear()) {
      trainer.add(part, ended);
      documents += ended ? 1 : 0;
      bytes += static_cast<int64_t>(part.size());
    }
  }
  if (bytes == 0) {
    throw IoError(cat(files[0], files.size() > 1 ? " and further files" : "", ": no text to learn from"));
  }
  Tokenizer tokenizer = std::move(trainer).train();
  save(tokenizer, out);
  log_info(cat("tokenizer ", out, ": ", tokenizer.vocab_size(), " tokens, learnt from ", documents, " documents, ",
               human_bytes(static_cast<double>(bytes))));
  return tokenizer;
}

}  // namespace trireme
