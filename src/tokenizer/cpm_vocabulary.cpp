#include "tokenizer/cpm_vocabulary.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/numeric.h"
#include "base/strings.h"
#include "tokenizer/alphabet.h"

namespace trireme {
namespace {

using Ids = std::unordered_map<std::string, int32_t>;

/// Takes a line off `text`, ended as Python's universal newlines end it.
std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find_first_of("\r\n"), text.size());
  const std::string_view line = text.substr(0, end);
  const size_t rest = text.substr(end).starts_with("\r\n") ? end + 2 : end + 1;
  text.remove_prefix(std::min(rest, text.size()));
  return line;
}

/// The tokens of the file's lines, by id; empty lines have none.
std::vector<std::string> read_lines(std::string_view text, bool json, const std::string& where) {
  std::vector<std::string> tokens;
  Ids seen;
  for (int64_t number = 1; !text.empty(); ++number) {
    std::string_view line = take_line(text);
    if (json) line = trim(line);
    if (line.empty()) continue;
    const std::string at = cat(where, ": line ", number);
    std::string token(line);
    if (json) {
      const Json value = Json::parse(line, at);
      if (!value.is_string() || value.as_string().empty()) {
        throw IoError(cat(at, ": expected a token as a JSON string, found '", line.substr(0, 80), "'"));
      }
      token = value.as_string();
    }
    if (!seen.emplace(token, narrow<int32_t>(tokens.size())).second) {
      throw IoError(cat(at, ": the token '", token, "' is there twice"));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

int32_t id_of(const Ids& ids, const std::string& token, const std::string& where) {
  const auto found = ids.find(token);
  if (found != ids.end()) return found->second;
  throw IoError(cat(where, ": there is no token ", token,
                    "; expected the vocabulary of CPM-9G (a JSON string a line) or of ", "CPM-Bee (a token a line)"));
}

}  // namespace

CpmVocabulary read_cpm_vocabulary(std::string_view text, const std::string& where) {
  const bool json = trim(text).starts_with('"');
  CpmVocabulary out;
  std::vector<std::string>& tokens = out.spec.tokens;
  tokens = read_lines(text, json, where);
  Ids ids;
  for (size_t id = 0; id < tokens.size(); ++id) ids.emplace(tokens[id], static_cast<int32_t>(id));
  out.unk_id = id_of(ids, "<unk>", where);
  out.spec.roles = {
      {"unk_token", out.unk_id}, {"bos_token", id_of(ids, "<s>", where)}, {"eos_token", id_of(ids, "</s>", where)}};
  if (json) {
    out.has_bytes = true;
    for (const auto& role : out.spec.roles) out.spec.special.push_back(role.second);
    for (int byte = 0; byte < 256; ++byte) {
      const int32_t id = id_of(ids, fallback_token(byte), where);
      out.byte_ids[static_cast<size_t>(byte)] = id;
      tokens[static_cast<size_t>(id)].assign(1, static_cast<char>(byte));
    }
  } else {
    tokens[static_cast<size_t>(id_of(ids, "</n>", where))].assign(1, '\n');
    tokens[static_cast<size_t>(id_of(ids, "</_>", where))].assign(1, ' ');
    for (size_t id = 0; id < tokens.size(); ++id) {
      const bool special = tokens[id].starts_with('<') && tokens[id].ends_with('>');
      if (special) out.spec.special.push_back(static_cast<int32_t>(id));
    }
  }
  std::sort(out.spec.special.begin(), out.spec.special.end());
  return out;
}

class CpmTokenizer::Worker : public TextEncoder {
 public:
  explicit Worker(const CpmTokenizer& owner) : owner_(owner) {}

  void encode(std::vector<int32_t>& out, const Stretch& stretch) override {
    if (stretch.split && owner_.finds_special()) {
      encode_marked(out, stretch.text);
    } else {
      encode_plain(out, stretch.text);
    }
  }

 private:
  void encode_marked(std::vector<int32_t>& out, std::string_view text) {
    plain_.clear();
    for (size_t i = 0; i < text.size();) {
      const size_t mark = std::min(text.find('<', i), text.size());
      plain_ += text.substr(i, mark - i);
      i = mark;
      if (mark == text.size()) break;
      if (text.substr(mark).starts_with("<<")) {
        plain_ += '<';
        i += 2;
        continue;
      }
      const size_t end = text.find_first_of("<>", mark + 2);  // one character at least is part of the name
      const std::string_view name = text.substr(mark, end == std::string_view::npos ? end : end + 1 - mark);
      const auto found = owner_.special_.find(name);
      if (found == owner_.special_.end()) {
        throw ConfigError(cat("byte ", mark, " of the text: '", name.substr(0, 40),
                              "' is no special token of the vocabulary; write << for a <"));
      }
      encode_plain(out, plain_);
      plain_.clear();
      out.push_back(found->second);
      i = end + 1;
    }
    encode_plain(out, plain_);
  }

  void encode_plain(std::vector<int32_t>& out, std::string_view text) const {
    const CpmVocabulary& vocabulary = owner_.vocabulary_;
    bool after_unknown = false;
    for (size_t i = 0; i < text.size();) {
      const ByteTrie::Match match = owner_.trie_.longest(text.substr(i));
      if (match.length > 0) {
        out.push_back(match.value);
        i += match.length;
        after_unknown = false;
        continue;
      }
      const size_t end = i + static_cast<size_t>(std::max(utf8_length(text, i), 1));
      if (vocabulary.has_bytes) {
        for (size_t k = i; k < end; ++k) out.push_back(vocabulary.byte_ids[static_cast<uint8_t>(text[k])]);
      } else if (!after_unknown) {
        out.push_back(vocabulary.unk_id);
      }
      after_unknown = true;
      i = end;
    }
  }

  const CpmTokenizer& owner_;
  std::string plain_;
};

CpmTokenizer::CpmTokenizer(CpmVocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  std::vector<bool> is_text(vocabulary_.spec.tokens.size(), true);
  for (const int32_t id : vocabulary_.spec.special) is_text[static_cast<size_t>(id)] = false;
  for (size_t byte = 0; vocabulary_.has_bytes && byte < 256; ++byte) {
    is_text[static_cast<size_t>(vocabulary_.byte_ids[byte])] = false;
  }
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (size_t id = 0; id < is_text.size(); ++id) {
    if (is_text[id]) entries.emplace_back(vocabulary_.spec.tokens[id], static_cast<int32_t>(id));
  }
  trie_ = ByteTrie(std::move(entries));
  if (!finds_special()) return;
  for (const int32_t id : vocabulary_.spec.special)
    special_.emplace(vocabulary_.spec.tokens[static_cast<size_t>(id)], id);
}

std::unique_ptr<TextEncoder> CpmTokenizer::encoder() const { return std::make_unique<Worker>(*this); }

void CpmTokenizer::decode(std::string& out, int32_t id, DecodeState&) const {
  out += vocabulary_.spec.tokens[static_cast<size_t>(id)];
}

void CpmTokenizer::finish(std::string&, DecodeState&) const {}

}  // namespace trireme
