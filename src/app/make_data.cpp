#include "app/make_data.h"

#include <filesystem>

#include "app/make_token_files.h"
#include "app/make_tokenizer.h"
#include "base/error.h"
#include "data/blend.h"
#include "tokenizer/folder.h"

namespace trireme {
namespace {

Tokenizer ensure_tokenizer(const RunConfig& config, const TextOptions& text) {
  const std::string& folder = config.tokenizer.path;
  if (has_tokenizer(folder)) return Tokenizer::load(folder);
  if (config.data.source.empty()) {
    throw ConfigError(
        cat("tokenizer.path: ", folder, " holds no tokenizer, and there is no data.source to learn one from"));
  }
  return make_tokenizer({config.data.source}, text,
                        {.vocab_size = config.tokenizer.vocab_size,
                         .min_frequency = config.tokenizer.min_frequency,
                         .max_token_length = config.tokenizer.max_token_length},
                        folder);
}

}  // namespace

Tokenizer ensure_data(const RunConfig& config, ThreadPool& pool) {
  const DataConfig& data = config.data;
  const std::vector<BlendSource> blend = parse_blend(data.blend);
  for (const BlendSource& source : blend) {
    if (!has_token_files(source.prefix))
      throw ConfigError(
          cat("data.blend: there are no token files ", source.prefix, "; make them with `trireme prepare`"));
  }
  const bool complete = has_tokenizer(config.tokenizer.path) && (!blend.empty() || has_token_files(data.prefix));
  if (!complete && !data.source.empty() && !std::filesystem::exists(data.source)) {
    throw ConfigError(cat("data.source: ", data.source,
                          " does not exist; set it to a .txt, .csv, .jsonl, .json or .parquet file "
                          "(tools/data makes those of the recipes poetry-tiny and austen-tiny)"));
  }
  const TextOptions text = {data.column, data.document_separator};
  Tokenizer tokenizer = ensure_tokenizer(config, text);
  for (const BlendSource& source : blend)
    require_tokenizer(source.prefix, tokenizer.fingerprint(), tokenizer.vocab_size());
  if (!blend.empty()) return tokenizer;
  if (!has_token_files(data.prefix)) {
    if (data.source.empty()) {
      throw ConfigError(cat("data.prefix: there are no token files ", data.prefix,
                            ".idx, and there is no data.source to make it from"));
    }
    make_token_files({data.source}, text, data.prefix, tokenizer, data.append_eos, pool);
  }
  require_tokenizer(data.prefix, tokenizer.fingerprint(), tokenizer.vocab_size());
  return tokenizer;
}

std::vector<IndexedDataset> open_token_files(const DataConfig& config, int64_t vocab_size) {
  std::vector<IndexedDataset> sets;
  for (const BlendSource& source : parse_blend(config.blend)) sets.emplace_back(source.prefix, vocab_size);
  if (sets.empty()) sets.emplace_back(config.prefix, vocab_size);
  return sets;
}

}  // namespace trireme
