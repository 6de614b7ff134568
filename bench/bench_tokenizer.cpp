// bench_tokenizer: one thread encodes texts, ours and its peers (tiktoken and tokenizers,
// bench/peers/tokenizer_encode.py) in turns within one run, with one vocabulary; one JSON line a program and text is
// appended to --out. Times are of the processor: the work is one thread's, and others on the machine disturb that
// least.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>

#include "app/cli.h"
#include "app/commands.h"
#include "app/version.h"
#include "base/error.h"
#include "base/file.h"
#include "bench.h"
#include "peer.h"
#include "tokenizer/encoder.h"

namespace trireme {
namespace {

struct BenchOptions {
  std::string tokenizer, split, out, commit = "unknown", command, python;
  std::vector<std::string> texts, peers = {"tiktoken", "tokenizers"};
  int64_t rounds = 5;
};

struct Contestant {
  std::string program, version;
  std::function<double()> run;  // milliseconds
  std::vector<double> times;
};

/// The tokenizer of the folder, with another split and without normalization where one is named: how the vocabulary
/// at hand measures a family whose own is not.
Tokenizer load(const BenchOptions& options) {
  TokenizerSpec spec = Tokenizer::load(options.tokenizer).spec();
  if (options.split.empty()) return Tokenizer(spec);
  for (const SplitPattern pattern :
       {SplitPattern::gpt2, SplitPattern::llama3, SplitPattern::cl100k, SplitPattern::qwen2, SplitPattern::o200k}) {
    if (options.split != split_name(pattern)) continue;
    PieceRule rule{PieceRule::Kind::scanner};
    rule.scanner = pattern;
    spec.pieces = {rule};
    spec.normalizer.clear();
    return Tokenizer(spec);
  }
  throw ConfigError(cat("--split ", options.split, ": expected gpt2, llama3, cl100k, qwen2 or o200k"));
}

/// Milliseconds of the processor. A new encoder each time, as for a new file: no word is known from the round before.
double encode_once(const Tokenizer& tokenizer, const std::string& text, std::vector<int32_t>& ids) {
  ids.clear();
  return 1e3 * cpu_seconds([&] {
           Encoder encoder(tokenizer);
           encoder.encode(ids, text);
         });
}

void bench_text(const BenchOptions& options, const Tokenizer& tokenizer, const std::string& file) {
  const std::string text = read_file(file);
  std::vector<int32_t> ids;
  std::vector<Contestant> all;
  all.push_back({"trireme", std::string(kVersion), [&] { return encode_once(tokenizer, text, ids); }, {}});
  all[0].run();
  std::vector<std::unique_ptr<Peer>> peers;
  for (const std::string& name : options.peers) {
    if (options.python.empty()) break;
    if (name == "tokenizers" && std::filesystem::is_regular_file(options.tokenizer)) continue;  // reads no rank files
    std::vector<std::string> words = {
        options.python, "bench/peers/tokenizer_encode.py", name, "--tokenizer", options.tokenizer, "--text", file,
        "--stdin"};
    if (!options.split.empty()) words.insert(words.end(), {"--split", options.split});
    peers.push_back(std::make_unique<Peer>(words));
    Peer* peer = peers.back().get();
    const int64_t tokens = peer->facts().at("tokens_per_step").as_integer();
    if (tokens != static_cast<int64_t>(ids.size())) {
      throw IoError(cat(name, " makes ", tokens, " tokens of ", file, ", we make ", ids.size()));
    }
    all.push_back({name, peer->facts().at("version").as_string(), [peer] { return peer->run(1)[0]; }, {}});
  }
  for (int64_t round = 0; round < options.rounds; ++round) {
    for (Contestant& c : all) c.times.push_back(c.run());
    for (auto c = all.rbegin(); c != all.rend(); ++c) c->times.push_back(c->run());
  }
  std::vector<Json> rows;
  for (const Contestant& c : all) {
    const double ms = median(c.times);
    Json row = Json::object();
    row["bench"] = "encode_cpu";
    row["workload"] = cat(
        options.split.empty() ? std::filesystem::path(options.tokenizer).filename().string() : options.split + " split",
        ", ", std::filesystem::path(file).stem().string());
    row["program"] = c.program;
    row["version"] = c.version;
    row["commit"] = options.commit;
    row["command"] = options.command;
    row["device"] = "cpu";
    row["threads"] = 1;
    row["precision"] = "exact";
    row["text_bytes"] = static_cast<int64_t>(text.size());
    row["tokens_per_step"] = static_cast<int64_t>(ids.size());
    row["tokens_per_second"] = 1e3 * static_cast<double>(ids.size()) / ms;
    row["megabytes_per_second"] = 1e-3 * static_cast<double>(text.size()) / ms;
    row["clock"] = "cpu";
    row["ms_p50"] = ms;
    row["ms_best"] = *std::min_element(c.times.begin(), c.times.end());
    row["times_taken"] = static_cast<int64_t>(c.times.size());
    row["speedup_of_trireme"] = ms / median(all[0].times);
    rows.push_back(std::move(row));
  }
  put_rows(rows, options.out);
}

int run(std::vector<std::string> words) {
  BenchOptions options;
  options.command = command_of("bench_tokenizer", words);
  CommandLine line("bench_tokenizer", "Encoding of text on one thread, ours and its peers' in turns.",
                   std::move(words));
  line.option("--tokenizer", options.tokenizer, "folder of the tokenizer, or rank file", CommandLine::Need::required);
  line.option("--split", options.split, "cut as gpt2, llama3, cl100k, qwen2 or o200k instead of as the tokenizer does");
  line.positional("TEXT", options.texts, "text files, each measured by itself");
  line.option("--python", options.python, "interpreter with the peers; without it ours runs alone");
  line.option("--peer", options.peers, "tiktoken or tokenizers; may be given several times");
  line.option("--rounds", options.rounds, "rounds of turns");
  line.option("--commit", options.commit, "of this program, for the rows");
  line.option("--out", options.out, "file to which the rows are appended");
  line.example("build/cpu/bench/bench_tokenizer --tokenizer gpt2 --python build/peers/bin/python data/austen.txt");
  if (!line.parse()) return kDone;
  const Tokenizer tokenizer = load(options);
  for (const std::string& file : options.texts) bench_text(options, tokenizer, file);
  return kDone;
}

}  // namespace
}  // namespace trireme

int main(int, char** argv) { return trireme::bench_main(argv, trireme::run); }
