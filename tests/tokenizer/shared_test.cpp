// Every text file of ../shared/data against the ids that the originals give (tests/golden/tokenizer/make_shared.py):
// with the tokenizers of ../shared, and with the small ones of every kind that lie beside the goldens. Prints the
// counts. Files above 1 MB are taken with TRIREME_LONG=1 only.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/strings.h"
#include "support/shared_data.h"
#include "tokenizer/encoder.h"
#include "tokenizer/read.h"
#include "tokenizer/small_tokenizer.h"

namespace trireme {
namespace {

using testing::golden_path;
using testing::shared_path;

constexpr std::string_view kUnigram = "unigram: ";

Tokenizer load(const std::string& name) {
  if (starts_with(name, "tokenizers/")) return Tokenizer::load(shared_path(name));
  if (!starts_with(name, kUnigram)) return Tokenizer::load(golden_path(name));
  const Json golden = read_json(golden_path("unigram.json"));
  for (const Json& entry : golden.at("tokenizers").items()) {
    if (name.substr(kUnigram.size()) == entry.at("name").as_string()) {
      return Tokenizer(make_json_spec(entry.at("tokenizer"), {}));
    }
  }
  throw Bug(cat("no ", name));
}

/// CPM's originals were given line by line, Hugging Face's unigram models with their special tokens.
std::vector<int32_t> encode(Encoder& encoder, const std::string& name, std::string_view text) {
  std::vector<int32_t> ids;
  if (!starts_with(name, "cpm/")) {
    encoder.encode(ids, text, starts_with(name, kUnigram));
    return ids;
  }
  for (const std::string& line : split(text, '\n')) encoder.encode(ids, line);
  return ids;
}

TEST(SharedText, EveryFileGivesTheIdsOfTheOriginals) {
  if (!testing::has_shared("data")) GTEST_SKIP() << "needs ../shared/data";
  const bool all = std::getenv("TRIREME_LONG") != nullptr;
  const Json golden = read_json(golden_path("shared.json"));
  ASSERT_GT(golden.size(), 25U);
  for (const auto& [name, files] : golden.members()) {
    if (starts_with(name, "tokenizers/") && !testing::has_shared(name)) continue;
    const Tokenizer tokenizer = load(name);
    Encoder encoder(tokenizer);
    size_t count = 0, bytes = 0;
    int64_t equal = 0, total = 0;
    for (const auto& [file, expected] : files.members()) {
      if (!std::filesystem::exists(shared_path(file))) continue;
      const MappedFile text(shared_path(file));
      if (!all && text.bytes().size() > (1U << 20)) continue;
      const std::vector<int32_t> ids = encode(encoder, name, text.text());
      EXPECT_EQ(static_cast<int64_t>(ids.size()), expected.items()[0].as_integer()) << name << ": " << file;
      const bool same = hex(hash64(std::as_bytes(std::span(ids)))) == expected.items()[1].as_string();
      EXPECT_TRUE(same) << name << ": " << file;
      equal += same ? 1 : 0;
      ++total;
      count += ids.size();
      bytes += text.bytes().size();
    }
    std::printf("%-32s %2ld of %2ld files equal, %8.2f MB, %9zu ids\n", name.c_str(), equal, total,
                static_cast<double>(bytes) / 1e6, count);
  }
}

}  // namespace
}  // namespace trireme
