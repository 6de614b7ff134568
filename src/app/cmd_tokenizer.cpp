// trireme tokenizer train|encode|decode.
#include "app/commands.h"
#include "app/make_tokenizer.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "base/strings.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

std::vector<int32_t> parse_ids(std::string_view text, const std::string& where) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<int32_t> ids;
  for (size_t at = text.find_first_not_of(kSpace); at != std::string_view::npos;
       at = text.find_first_not_of(kSpace, at)) {
    const std::string_view word = text.substr(at, text.find_first_of(kSpace, at) - at);
    int64_t id = 0;
    if (!parse_integer(word, id) || id < 0 || id > INT32_MAX) {
      throw IoError(cat(where, ": byte ", at, ": expected a token id, got '", word.substr(0, 40), "'"));
    }
    ids.push_back(static_cast<int32_t>(id));
    at += word.size();
  }
  return ids;
}

}  // namespace

int cmd_tokenizer_train(CommandLine& line) {
  std::string out;
  std::vector<std::string> files;
  TextOptions text;
  TrainOptions options;
  line.option("--vocab-size", options.vocab_size, "tokens of the vocabulary: 256 bytes, merges and <|endoftext|>");
  line.option("--min-frequency", options.min_frequency, "how often a pair must occur to become a token");
  line.option("--max-token-length", options.max_token_length, "longest token in characters; 0: no limit");
  line.option("--out", out, "folder to write", CommandLine::Need::required);
  line.option("--column", text.column, "column or key of the text in .csv, .jsonl and .json files");
  line.option("--document-separator", text.document_separator,
              "line that ends a document of a .txt file, or `blank` for empty lines");
  line.positional("FILE", files, "text: .txt, .csv, .jsonl or .json");
  line.example("trireme tokenizer train --vocab-size 8192 --out tok/ corpus.txt");
  if (!line.parse()) return kDone;
  if (options.min_frequency < 1)
    throw ConfigError(cat("--min-frequency is ", options.min_frequency, ", expected 1 or more"));
  if (options.max_token_length < 0)
    throw ConfigError(cat("--max-token-length is ", options.max_token_length, ", expected 0 or more"));
  make_tokenizer(files, text, options, out);
  return kDone;
}

int cmd_tokenizer_encode(CommandLine& line) {
  std::string folder, file = "-";
  bool special = false, framed = false;
  line.option("--tokenizer", folder, "folder or file of the tokenizer", CommandLine::Need::required);
  line.flag("--special", special, "text that spells a special token becomes that token");
  line.flag("--template", framed, "add what the tokenizer puts around a text, such as <|begin_of_text|>");
  line.positional("FILE", file, "text to encode, or - for standard input", CommandLine::Need::optional);
  line.example("echo 'Hello' | trireme tokenizer encode --tokenizer runs/poetry-tiny/tokenizer");
  if (!line.parse()) return kDone;
  const Tokenizer tokenizer = Tokenizer::load(folder);
  std::vector<int32_t> ids = tokenizer.encode(read_input(file), special);
  if (framed) {
    const TokenizerSpec& spec = tokenizer.spec();
    ids.insert(ids.begin(), spec.template_before.begin(), spec.template_before.end());
    ids.insert(ids.end(), spec.template_after.begin(), spec.template_after.end());
  }
  std::string out;
  for (const int32_t id : ids) {
    if (!out.empty()) out += ' ';
    out += std::to_string(id);
  }
  print(out + "\n");
  return kDone;
}

int cmd_tokenizer_decode(CommandLine& line) {
  std::string folder, file = "-";
  line.option("--tokenizer", folder, "folder or file of the tokenizer", CommandLine::Need::required);
  line.positional("FILE", file, "ids with space between them, or - for standard input", CommandLine::Need::optional);
  line.example("echo '42 17' | trireme tokenizer decode --tokenizer runs/poetry-tiny/tokenizer");
  if (!line.parse()) return kDone;
  print(Tokenizer::load(folder).decode(parse_ids(read_input(file), file)));
  return kDone;
}

}  // namespace trireme
