#include "app/make_token_files.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "tokenizer/encoder.h"

namespace trireme {
namespace {

constexpr double kReportSeconds = 2;

}  // namespace

TokenFileInfo make_token_files(const std::vector<std::string>& sources, const TextOptions& text,
                               const std::string& prefix, const Tokenizer& tokenizer, bool append_eos,
                               ThreadPool& pool) {
  PrepareOptions options;
  options.sources = sources;
  options.text = text;
  options.prefix = prefix;
  options.vocab_size = tokenizer.vocab_size();
  options.tokenizer = tokenizer.fingerprint();
  options.append_eos = append_eos;
  if (append_eos) {
    if (!tokenizer.eos_id())
      throw ConfigError(
          "this tokenizer has no token that ends a document; set data.append_eos: false (prepare: --no-eos)");
    options.eos_id = *tokenizer.eos_id();
  }
  std::vector<Encoder> encoders;
  for (int t = 0; t < pool.size(); ++t) encoders.emplace_back(tokenizer);
  const double begin = now_seconds();
  double reported = begin;
  int64_t first_bytes = -1;  // of the first report: what an earlier process did takes no time now
  bool kept = false;
  const TokenFileInfo info = prepare(
      options,
      [&](std::vector<int32_t>& out, std::string_view document, int thread) {
        encoders[static_cast<size_t>(thread)].encode(out, document);
      },
      pool,
      [&](const PrepareProgress& p) {
        const double now = now_seconds();
        if (first_bytes < 0) {
          first_bytes = p.bytes;
          kept = p.kept_documents > 0;
          if (kept) log_info(cat("prepare: going on behind ", p.kept_documents, " documents that were done before"));
        }
        if (now - reported < kReportSeconds) return;
        reported = now;
        const double rate = static_cast<double>(p.bytes - first_bytes) / (now - begin);
        log_info(cat("prepare: ", human_bytes(static_cast<double>(p.bytes)), " of ",
                     human_bytes(static_cast<double>(p.total_bytes)), ", ", human_bytes(rate), "/s, ",
                     human_seconds(static_cast<double>(p.total_bytes - p.bytes) / rate), " left"));
      });
  const double seconds = std::max(now_seconds() - begin, 1e-9), bytes = static_cast<double>(info.text_bytes);
  log_info(cat("token files ", prefix, ".bin, .idx: ", info.documents, " documents, ", info.tokens, " tokens, ",
               human_bytes(bytes), kept ? "" : cat(", ", human_bytes(bytes / seconds), "/s")));
  return info;
}

}  // namespace trireme
