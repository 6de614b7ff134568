// tiktoken's rank files against tiktoken (tests/golden/tokenizer/make_ranks.py), and what is refused.
#include "tokenizer/rank_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "tokenizer/folder.h"
#include "tokenizer/golden_kind.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::golden_path;
using testing::Ids;
using testing::ids_of;
using testing::TempDir;

TEST(RankFile, GivesTheIdsOfTiktokenForEverySplit) {
  const Json golden = read_json(golden_path("ranks/cases.json"));
  ASSERT_EQ(golden.size(), 6U);
  for (const auto& [name, entry] : golden.members()) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::load(golden_path("ranks/" + name));
    EXPECT_EQ(tokenizer.vocab_size(), entry.at("vocab_size").as_integer());
    for (const Json& item : entry.at("cases").items()) {
      const std::string& text = item.at("text").as_string();
      const Ids plain = ids_of(item.at("ids"));
      EXPECT_EQ(tokenizer.encode(text), plain) << text;
      const Json* special = item.find("special");
      EXPECT_EQ(tokenizer.encode(text, true), special != nullptr ? ids_of(*special) : plain) << text;
      EXPECT_EQ(testing::streamed(tokenizer, plain), tokenizer.decode(plain)) << text;
    }
  }
}

TEST(RankFile, KeepsAnyBytes) {
  std::mt19937 random(14);
  for (const char* name : {"r50k_base.tiktoken", "cl100k_base.tiktoken", "o200k_base.tiktoken", "tokenizer.model"}) {
    const Tokenizer tokenizer = Tokenizer::load(golden_path(cat("ranks/", name)));
    for (int i = 0; i < 100; ++i) {
      const std::string text = testing::random_bytes(random, random() % 200);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << name;
    }
  }
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k) word = word << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[word >> (18 - 6 * k) & 63];
  }
  return out;
}

/// tiktoken's rule: of neighbours that make a token, those of the lowest rank become it, the leftmost first.
Ids merge_by_ranks(const std::map<std::string, int32_t>& ranks, const std::string& piece) {
  if (const auto whole = ranks.find(piece); whole != ranks.end()) return {whole->second};
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  for (;;) {
    int32_t best = INT32_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find(parts[i] + parts[i + 1]);
      if (found != ranks.end() && found->second < best) best = found->second, at = i;
    }
    if (best == INT32_MAX) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) ids.push_back(ranks.at(part));
  return ids;
}

TEST(RankFile, MatchesTheDefinitionWhateverTheOrderOfItsTokens) {
  const std::vector<std::string> characters = {"春", "眠", "不", "覺", "曉", "é", "ы", "x"};
  std::mt19937 random(21);
  const auto words = [&](size_t n) {
    std::string text;
    for (; n > 0; --n) text += characters[random() % characters.size()];
    return text;
  };
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> tokens;
    for (const std::string& c : characters)
      for (size_t n = 2; n <= c.size(); ++n)
        if (random() % 8 != 0) tokens.push_back(c.substr(0, n));
    for (int i = 0; i < 80; ++i) tokens.push_back(words(2 + random() % 2));
    if (round % 3 == 0) tokens.push_back(words(1) + "\xE6");
    if (round % 2 == 0) std::shuffle(tokens.begin(), tokens.end(), random);  // else nearly as if trained
    std::map<std::string, int32_t> ranks;
    std::string file;
    for (int byte = 0; byte < 256; ++byte)
      tokens.insert(tokens.begin() + byte, std::string(1, static_cast<char>(byte)));
    for (const std::string& token : tokens) {
      const auto rank = static_cast<int32_t>(ranks.size());
      if (ranks.emplace(token, rank).second) file += cat(base64(token), " ", rank, "\n");
    }
    TempDir folder;
    write_file(folder.path("cl100k_base.tiktoken"), file);
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    for (int i = 0; i < 50; ++i) {
      const std::string piece = words(1 + random() % 12);
      EXPECT_EQ(tokenizer.encode(piece), merge_by_ranks(ranks, piece)) << piece << " of round " << round;
    }
  }
}

TEST(RankFile, ThePatternMayBeNamedBesideIt) {
  const std::string ranks = read_file(golden_path("ranks/cl100k_base.tiktoken"));
  const Json cases = read_json(golden_path("ranks/cases.json")).at("cl100k_base.tiktoken");
  TempDir folder;
  write_file(folder.path("mine.tiktoken"), ranks);
  try {
    Tokenizer::load(folder.path());
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("mine.tiktoken: no rank file is known by the name"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("pat_str"), std::string::npos);
  }
  for (const std::string& pattern : {std::string("cl100k"), cases.at("pattern").as_string()}) {
    Json config = Json::object();
    config["pat_str"] = pattern;
    write_file(folder.path("tokenizer_config.json"), config.dump());
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer.spec().special, Ids{});
    for (const Json& item : cases.at("cases").items()) {
      EXPECT_EQ(tokenizer.encode(item.at("text").as_string()), ids_of(item.at("ids")));
    }
  }
  write_file(folder.path("other.tiktoken"), ranks);
  EXPECT_THROW(Tokenizer::load(folder.path()), ConfigError);  // which of the two?
  EXPECT_EQ(Tokenizer::load(folder.path("other.tiktoken")).vocab_size(), 756);
}

TEST(RankFile, PublishedFilesBringTheirSpecialTokens) {
  const Tokenizer llama = Tokenizer::load(golden_path("ranks/tokenizer.model"));
  EXPECT_EQ(llama.vocab_size(), 756 + 256);
  EXPECT_EQ(llama.encode("<|eot_id|>", true), (std::vector<int32_t>{756 + 9}));
  EXPECT_EQ(llama.eos_id(), 757);
  EXPECT_EQ(llama.token(756 + 255), "<|reserved_special_token_247|>");
  const Tokenizer qwen = Tokenizer::load(golden_path("ranks/qwen.tiktoken"));
  EXPECT_EQ(qwen.encode("<|im_end|>", true), (std::vector<int32_t>{758}));
  EXPECT_EQ(qwen.eos_id(), 756);
  EXPECT_EQ(Tokenizer::load(golden_path("ranks/cl100k_base.tiktoken")).eos_id(), 100257);
}

TEST(RankFile, IsSavedAsItWasRead) {
  TempDir folder;
  const Tokenizer tokenizer = Tokenizer::load(golden_path("ranks/own"));
  tokenizer.save(folder.path());
  EXPECT_EQ(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
  EXPECT_EQ(tokenizer_files(find_tokenizer(folder.path())),
            (std::vector<std::string>{"any.tiktoken", "tokenizer_config.json"}));
}

TEST(RankFile, NamesTheLineThatIsWrong) {
  const auto error = [](const std::string& text) -> std::string {
    try {
      read_rank_file({text, "gpt2.tiktoken", "f", ""}, {});
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const std::string whole = read_file(golden_path("ranks/r50k_base.tiktoken"));
  const std::string bytes = whole.substr(0, whole.find(" 255\n") + 5);  // the tokens of single bytes
  EXPECT_EQ(error(bytes), "");
  EXPECT_EQ(error(bytes + "\r\n"), "");
  const std::string expected = "f: line 257: expected a token in base64 and its rank, found '";
  for (const char* line : {"YWI", "YWI= x", "YW=I 256", "YWJ= 256", "Y*I= 256", " 256", "YWI=  256", "YWI= 256 "}) {
    EXPECT_EQ(error(bytes + line), expected + line + "'");
  }
  EXPECT_EQ(error(bytes + "YWI= -1"), "f: line 257: the rank -1; for 257 lines ranks must be in 0 to 1048575");
  EXPECT_EQ(error(bytes + "YWI= 99999999"),
            "f: line 257: the rank 99999999; for 257 lines ranks must be in 0 to 1048575");
  EXPECT_EQ(error(bytes + "YWI= 7"), "f: line 257: the rank 7 is there twice");
  EXPECT_EQ(error(bytes + "YQ== 256"), "f: the token 'a' has the ranks 97 and 256");
  EXPECT_EQ(error(bytes.substr(0, bytes.size() - 9)), "f: byte 255 has no token; every byte needs one");
  EXPECT_EQ(error(bytes + std::string(1400, 'Q') + " 256"),
            "f: line 257: a token of 1050 bytes; at most 1024 are read");
  EXPECT_EQ(error(bytes + "YWI= 50256"), "f: the special token '<|endoftext|>' has the id 50256 of another token");
}

/// The rank file of the tokens that `json` makes of text.
std::string rank_file_of(const TokenizerSpec& json) {
  std::string file;
  for (int32_t id = 0; id < static_cast<int32_t>(json.tokens.size()); ++id) {
    const bool special = std::binary_search(json.special.begin(), json.special.end(), id);
    const bool added = std::any_of(json.added.begin(), json.added.end(), [&](auto& token) { return token.id == id; });
    if (!special && !added) file += cat(base64(json.tokens[static_cast<size_t>(id)]), " ", id, "\n");
  }
  return file;
}

void expect_merges_come_back(const TokenizerSpec& json) {
  const TokenizerSpec ranks = read_rank_file({rank_file_of(json), "f", "f", "gpt2"}, {});
  ASSERT_EQ(ranks.merges.size(), json.merges.size());
  for (size_t m = 0; m < json.merges.size(); ++m) {
    const Merge &ours = ranks.merges[m], &theirs = json.merges[m];
    ASSERT_TRUE(ours.left == theirs.left && ours.right == theirs.right && ours.product == theirs.product) << m;
  }
}

TEST(RankFile, OfATrainedVocabularyHasTheMergesOfItsTraining) {
  expect_merges_come_back(testing::small_tokenizer().spec());
}

TEST(RankFile, OfAPublishedVocabularyHasItsPublishedMerges) {
  for (const char* name : {"gpt2", "qwen3"}) {
    if (!testing::has_shared(cat("tokenizers/", name))) GTEST_SKIP() << "needs ../shared/tokenizers/" << name;
    expect_merges_come_back(Tokenizer::load(testing::shared_path(cat("tokenizers/", name))).spec());
  }
}

TEST(RankFile, IsToldFromASentencePieceModel) {
  EXPECT_TRUE(is_rank_file("IQ== 0\nIg== 1\n"));
  EXPECT_FALSE(is_rank_file(read_file(golden_path("sentencepiece/bpe_bytes/tokenizer.model"))));
  EXPECT_FALSE(is_rank_file(""));
}

TEST(TokenizerFolder, AFileThatIsNamedIsReadBesideOthers) {
  TempDir folder;
  const Tokenizer tokenizer = testing::small_tokenizer();
  tokenizer.save(folder.path());
  EXPECT_EQ(Tokenizer::load(folder.path("tokenizer.json")).fingerprint(), tokenizer.fingerprint());
  write_file(folder.path("tokenizer.json"), "{}");
  EXPECT_EQ(Tokenizer::load(folder.path("vocab.json")).fingerprint(), tokenizer.fingerprint());
  EXPECT_THROW(Tokenizer::load(folder.path()), ConfigError);
}

TEST(TokenizerFolder, NamesTheFilesThatItReads) {
  TempDir folder;
  EXPECT_FALSE(has_tokenizer(folder.path()));
  EXPECT_FALSE(has_tokenizer(folder.path("none")));
  write_file(folder.path("model.bin"), "");
  EXPECT_THROW(find_tokenizer(folder.path("model.bin")), ConfigError);
  for (const char* name :
       {"vocab.json", "vocab.txt", "vocabs.txt", "a.tiktoken", "tokenizer.model", "tokenizer.json"}) {
    write_file(folder.path(name), "");
    EXPECT_EQ(find_tokenizer(folder.path()).main, name);  // each before those above
  }
  EXPECT_EQ(find_tokenizer(folder.path("vocab.txt")).main, "vocab.txt");
  std::filesystem::create_directory(folder.path("additional_chat_templates"));
  for (const char* name :
       {"chat_template.jinja", "additional_chat_templates/rag.jinja", "additional_chat_templates/b"}) {
    write_file(folder.path(name), "");
  }
  EXPECT_EQ(tokenizer_files(find_tokenizer(folder.path())),
            (std::vector<std::string>{"tokenizer.json", "vocab.json", "chat_template.jinja",
                                      "additional_chat_templates/rag.jinja"}));
}

}  // namespace
}  // namespace trireme
