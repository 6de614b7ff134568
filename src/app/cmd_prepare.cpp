// trireme prepare: text to token files.
#include "app/commands.h"
#include "app/make_token_files.h"
#include "base/error.h"

namespace trireme {

int cmd_prepare(CommandLine& line) {
  std::string folder, prefix;
  std::vector<std::string> sources;
  TextOptions text;
  bool no_eos = false;
  int64_t threads = 0;
  line.option("--tokenizer", folder, "folder or file of the tokenizer", CommandLine::Need::required);
  line.option("--out", prefix, "PREFIX: writes PREFIX.bin and PREFIX.idx", CommandLine::Need::required);
  line.option("--column", text.column,
              "column or key of the text in .csv, .parquet, .jsonl and .json files; several as a+b");
  line.option("--document-separator", text.document_separator,
              "line that ends a document of a .txt file, or `blank` for empty lines");
  line.flag("--no-eos", no_eos, "do not end documents with the end-of-text token");
  line.option("--threads", threads, "CPU threads; 0: one for each available core");
  line.positional(
      "FILE", sources,
      "text: .txt, .csv, .jsonl or .json, also as .gz or .zst; .parquet; a folder X.lazy, or one with meta.bin");
  line.example("trireme prepare --tokenizer tok/ --column text1 --out data/poems train.csv");
  if (!line.parse()) return kDone;
  ThreadPool pool(checked_threads(threads));
  make_token_files(sources, text, prefix, Tokenizer::load(folder), !no_eos, pool);
  return kDone;
}

}  // namespace trireme
