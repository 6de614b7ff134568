// Where the files of a tokenizer lie, and which of them says what kind it is.
#pragma once

#include <string>
#include <vector>

namespace trireme {

/// `main` is the name of the file that the tokenizer is read from, beside which others may lie in `folder`: of several
/// tokenizer.json before tokenizer.model, a rank file (*.tiktoken), vocabs.txt, vocab.txt and vocab.json. Empty: none.
struct TokenizerPlace {
  std::string folder, main;
};

/// The tokenizer at `path`: a folder, or one of these files. ConfigError where a folder has several rank files and
/// nothing before them, or where the file has another name.
TokenizerPlace find_tokenizer(const std::string& path);

bool has_tokenizer(const std::string& path);

/// What belongs to a model's copy of the tokenizer at `path`, chat templates included: names within its folder.
std::vector<std::string> tokenizer_files(const TokenizerPlace& place);

}  // namespace trireme
