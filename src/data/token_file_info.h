// PREFIX.meta.json: what token files were made of and with which tokenizer. Files made elsewhere have none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trireme {

struct TokenFileInfo {
  struct Source {
    std::string file;
    int64_t bytes = 0;
    bool operator==(const Source&) const = default;
  };
  std::string tokenizer;  // fingerprint in hexadecimal
  int64_t vocab_size = 0;
  std::string column, document_separator;
  bool append_eos = true;
  std::vector<Source> sources;
  int64_t documents = 0, empty_documents = 0;  // empty ones are left out
  int64_t tokens = 0, text_bytes = 0;          // bytes of the documents themselves
  int64_t longest_document = 0;                // tokens
  bool operator==(const TokenFileInfo&) const = default;

  /// The text of PREFIX.meta.json.
  std::string str() const;
};

/// What lies beside token files; nothing where they were made elsewhere. IoError where it is malformed.
std::optional<TokenFileInfo> read_token_file_info(const std::string& prefix);

/// ConfigError naming both where token files were made with another tokenizer than this. Those without PREFIX.meta.json
/// pass.
void require_tokenizer(const std::string& prefix, uint64_t tokenizer, int64_t vocab_size);

}  // namespace trireme
