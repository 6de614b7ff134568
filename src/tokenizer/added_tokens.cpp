#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "tokenizer/normalize.h"

namespace trireme {
namespace {

bool word_before(std::string_view text, size_t at) {
  size_t begin = at;
  while (begin > 0 && at - begin < 4) {
    if ((static_cast<uint8_t>(text[--begin]) & 0xC0) == 0x80) continue;
    const CodePoint c = code_point(text.data() + begin, text.data() + at);
    return begin + c.length == at && is_word(c.value);
  }
  return false;
}

bool word_behind(std::string_view text, size_t at) {
  return at < text.size() && is_word(code_point(text.data() + at, text.data() + text.size()).value);
}

}  // namespace

AddedTokens::AddedTokens(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::erase_if(entries_, [](const Entry& entry) { return entry.token.content.empty(); });
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.token.content < b.token.content; });
  for (const Entry& entry : entries_) {
    begins_[static_cast<uint8_t>(entry.token.content[0])] = true;
    any_ordinary_ = any_ordinary_ || !entry.special;
  }
  if (std::count(begins_.begin(), begins_.end(), true) == 1) {
    only_first_ = static_cast<uint8_t>(entries_[0].token.content[0]);
  }
}

size_t AddedTokens::next_candidate(std::string_view text, size_t from) const {
  if (only_first_ >= 0) {
    const void* found = std::memchr(text.data() + from, only_first_, text.size() - from);
    return found == nullptr ? text.size() : static_cast<size_t>(static_cast<const char*>(found) - text.data());
  }
  while (from < text.size() && !begins_[static_cast<uint8_t>(text[from])]) ++from;
  return from;
}

const AddedTokens::Entry* AddedTokens::longest_at(std::string_view text, size_t at) const {
  const Entry* longest = nullptr;
  auto low = entries_.begin(), high = entries_.end();
  for (size_t depth = 0; at + depth < text.size() && low != high; ++depth) {
    const auto byte_of = [depth](const Entry& e) { return static_cast<uint8_t>(e.token.content[depth]); };
    const auto byte = static_cast<uint8_t>(text[at + depth]);
    low = std::lower_bound(low, high, byte, [&](const Entry& e, uint8_t b) { return byte_of(e) < b; });
    high = std::upper_bound(low, high, byte, [&](uint8_t b, const Entry& e) { return b < byte_of(e); });
    // The one that ends here sorts before those that go on.
    if (low != high && low->token.content.size() == depth + 1) {
      longest = &*low;
      while (low != high && low->token.content.size() == depth + 1) ++low;
    }
  }
  return longest;
}

void AddedTokens::find_all(std::vector<Found>& out, std::string_view text, bool special) const {
  const ClassTable& table = class_table();
  size_t done = 0, white_end = 0;
  for (size_t at = next_candidate(text, 0); at < text.size();) {
    const Entry* entry = longest_at(text, at);
    if (entry == nullptr) {
      at = next_candidate(text, at + 1);
      continue;
    }
    const AddedToken& token = entry->token;
    size_t begin = at, end = at + token.content.size();
    at = next_candidate(text, end);
    if (entry->special && !special) continue;
    if (token.single_word && (word_before(text, begin) || word_behind(text, end))) continue;
    if (token.lstrip) {
      const std::string_view before = text.substr(done, std::max(begin, done) - done);
      begin = std::max(done, begin - (before.size() - strip_white(before, false, true).size()));
    }
    if (token.rstrip) {
      // Of white space within which tokens are found the end is looked for once.
      const char* behind = text.data() + std::max(end, white_end);
      if (end > white_end) behind = table.skip(kWhite, behind, text.data() + text.size());
      end = white_end = static_cast<size_t>(behind - text.data());
    }
    if (end <= begin) continue;
    out.push_back({begin, end, token.id});
    done = end;
  }
}

}  // namespace trireme
