// bench_prepare: texts to token files on 1 and on 2 threads, beside the encoder alone on as many, in turns within one
// run. Every turn is a process of its own, so that its peak memory is its own. Then one is killed half-way and called
// again; files of all of them must be equal. One JSON line each.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <thread>

#include "app/cli.h"
#include "app/commands.h"
#include "app/make_token_files.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strings.h"
#include "bench.h"
#include "tokenizer/encoder.h"

namespace trireme {
namespace {

struct BenchOptions {
  std::string tokenizer, folder = ".", out, commit = "unknown", command;
  std::vector<std::string> texts, threads = {"1", "2"};
  TextOptions text;
  int64_t rounds = 3;
};

/// What a turn found out; of its work, without loading the tokenizer or reading the text where that is not the work.
struct Times {
  double seconds = 0, cpu_seconds = 0, text_bytes = 0, tokens = 0, peak_mib = 0;
};

Times timed(const std::function<void(Times&)>& work) {
  Times t;
  const double begin = now_seconds();
  const std::clock_t cpu = std::clock();
  work(t);
  t.cpu_seconds = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  t.seconds = now_seconds() - begin;
  return t;
}

/// Starts a process that does `work` and writes what it found to the descriptor that is returned.
pid_t start(const std::function<Times()>& work, int& from) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) throw IoError("cannot make a pipe");
  const pid_t pid = fork();
  if (pid < 0) throw IoError("cannot start another process");
  if (pid > 0) {
    ::close(pipe_ends[1]);
    from = pipe_ends[0];
    return pid;
  }
  try {
    const Times t = work();
    _exit(::write(pipe_ends[1], &t, sizeof t) == sizeof t ? 0 : 1);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_prepare: %s\n", e.what());
    _exit(1);
  }
}

Times finish(pid_t pid, int from) {
  Times t;
  const bool whole = ::read(from, &t, sizeof t) == sizeof t;
  ::close(from);
  int status = 0;
  struct rusage usage {};
  wait4(pid, &status, 0, &usage);
  if (!whole || status != 0) throw IoError("a turn failed");
  t.peak_mib = static_cast<double>(usage.ru_maxrss) / 1024;
  return t;
}

Times run_apart(const std::function<Times()>& work) {
  int from = -1;
  const pid_t pid = start(work, from);
  return finish(pid, from);
}

/// All documents, read before the clock starts, one by one through an encoder a thread.
Times encode_only(const BenchOptions& options, int threads) {
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  std::vector<std::string> blocks;
  std::vector<std::vector<size_t>> ends;
  for (const std::string& file : options.texts) {
    const auto reader = open_documents(file, options.text);
    for (bool more = true; more;) {
      std::string& block = blocks.emplace_back();
      std::vector<size_t>& block_ends = ends.emplace_back();
      while (block.size() < size_t{1} << 20 && (more = reader->next(block))) block_ends.push_back(block.size());
    }
  }
  ThreadPool pool(threads);
  std::vector<int64_t> tokens(blocks.size());
  return timed([&](Times& t) {
    std::vector<Encoder> encoders;
    for (int i = 0; i < threads; ++i) encoders.emplace_back(tokenizer);
    std::vector<std::vector<int32_t>> ids(static_cast<size_t>(threads));
    pool.parallel_for_dynamic(static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end, int thread) {
      std::vector<int32_t>& out = ids[static_cast<size_t>(thread)];
      for (auto b = static_cast<size_t>(begin); b < static_cast<size_t>(end); ++b) {
        out.clear();
        size_t from = 0;
        for (const size_t to : ends[b]) {
          encoders[static_cast<size_t>(thread)].encode(out, std::string_view(blocks[b]).substr(from, to - from));
          from = to;
        }
        tokens[b] = static_cast<int64_t>(out.size());
      }
    });
    for (size_t b = 0; b < blocks.size(); ++b) {
      t.text_bytes += static_cast<double>(blocks[b].size());
      t.tokens += static_cast<double>(tokens[b]);
    }
  });
}

Times prepare_files(const BenchOptions& options, const std::string& prefix, int threads) {
  set_console_level(LogLevel::warn);
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  ThreadPool pool(threads);
  return timed([&](Times& t) {
    const TokenFileInfo info = make_token_files(options.texts, options.text, prefix, tokenizer, false, pool);
    t.text_bytes = static_cast<double>(info.text_bytes);
    t.tokens = static_cast<double>(info.tokens);
  });
}

constexpr const char* kEndings[] = {".bin", ".idx", ".meta.json"};

void require_equal(const std::string& a, const std::string& b) {
  for (const char* ending : kEndings)
    if (MappedFile(a + ending).text() != MappedFile(b + ending).text())
      throw IoError(cat(a, ending, " and ", b, ending, " differ"));
}

/// Kills a process when it has written half of the ids, calls it again, and compares what comes out.
void kill_half_way(const BenchOptions& options, const std::string& expected, int threads) {
  const std::string prefix = options.folder + "/bench-prepare-killed", partial = prefix + ".bin.partial";
  const uint64_t half = file_size(expected + ".bin") / 2;
  int from = -1;
  const pid_t pid = start([&] { return prepare_files(options, prefix, threads); }, from);
  while (!std::filesystem::exists(partial) || file_size(partial) < half) {
    if (std::filesystem::exists(prefix + ".idx")) throw IoError("it was done before it could be killed");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(pid, SIGKILL);
  ::close(from);
  waitpid(pid, nullptr, 0);
  if (std::filesystem::exists(prefix + ".idx")) throw IoError("it was done before it could be killed");
  const uint64_t written = file_size(partial);
  const Times again = run_apart([&] { return prepare_files(options, prefix, threads); });
  require_equal(expected, prefix);
  log_info(cat("killed with ", written, " of ", file_size(expected + ".bin"),
               " bytes of ids written, called again: ", number(again.seconds, 3), " s, equal files"));
}

struct Contestant {
  std::string name;  // empty: prepare
  int threads;
  std::function<Times()> run;
  std::vector<Times> turns;

  double median_of(double Times::*what) const {
    std::vector<double> values;
    for (const Times& t : turns) values.push_back(t.*what);
    return median(values);
  }
};

std::vector<Json> rows_of(const BenchOptions& options, const std::vector<Contestant>& all) {
  std::vector<Json> rows;
  for (size_t c = 0; c < all.size(); ++c) {
    const Contestant &mine = all[c], &encoder = all[c - c % 2], &one = all[c % 2];
    const double seconds = mine.median_of(&Times::seconds);
    Json row = Json::object();
    row["bench"] = "prepare_cpu";
    row["workload"] = cat(std::filesystem::path(options.tokenizer).filename().string(), ", ",
                          std::filesystem::path(options.texts[0]).filename().string(), mine.name);
    row["program"] = "trireme";
    row["version"] = std::string(kVersion);
    row["commit"] = options.commit;
    row["command"] = options.command;
    row["device"] = "cpu";
    row["threads"] = mine.threads;
    row["precision"] = "exact";
    row["text_bytes"] = static_cast<int64_t>(mine.turns[0].text_bytes);
    row["tokens_per_step"] = static_cast<int64_t>(mine.turns[0].tokens);
    row["tokens_per_second"] = mine.turns[0].tokens / seconds;
    row["megabytes_per_second"] = 1e-6 * mine.turns[0].text_bytes / seconds;
    row["ms_p50"] = 1e3 * seconds;
    row["cpu_ms_p50"] = 1e3 * mine.median_of(&Times::cpu_seconds);
    row["peak_memory_mib"] = mine.median_of(&Times::peak_mib);
    row["times_taken"] = static_cast<int64_t>(mine.turns.size());
    row["rate_over_one_thread"] = one.median_of(&Times::seconds) / seconds;
    row["rate_over_encoder"] = encoder.median_of(&Times::seconds) / seconds;
    row["cpu_rate_over_encoder"] = encoder.median_of(&Times::cpu_seconds) / mine.median_of(&Times::cpu_seconds);
    rows.push_back(std::move(row));
  }
  return rows;
}

void bench(const BenchOptions& options) {
  std::vector<Contestant> all;  // for each number of threads the encoder, then prepare
  std::string first;
  const auto prefix = [&](int threads) { return cat(options.folder, "/bench-prepare-", threads); };
  for (const std::string& word : options.threads) {
    int64_t threads = 0;
    if (!parse_integer(word, threads) || threads < 1) throw ConfigError(cat("--threads ", word, ": expected a number"));
    const int n = static_cast<int>(threads);
    all.push_back({", encoder alone", n, [&options, n] { return encode_only(options, n); }, {}});
    all.push_back({"", n, [&options, &prefix, n] { return prepare_files(options, prefix(n), n); }, {}});
  }
  for (int64_t round = 0; round < options.rounds; ++round) {
    for (Contestant& c : all) c.turns.push_back(run_apart(c.run));
    for (auto c = all.rbegin(); c != all.rend(); ++c) c->turns.push_back(run_apart(c->run));
    log_info(cat("round ", round + 1, " of ", options.rounds));
  }
  put_rows(rows_of(options, all), options.out);
  for (const Contestant& c : all) require_equal(prefix(all[0].threads), prefix(c.threads));
  log_info("files of all numbers of threads are equal");
  kill_half_way(options, prefix(all[0].threads), all.back().threads);
  for (const auto& entry : std::filesystem::directory_iterator(options.folder))
    if (starts_with(entry.path().filename().string(), "bench-prepare-")) std::filesystem::remove(entry.path());
}

int run(std::vector<std::string> words) {
  BenchOptions options;
  options.command = command_of("bench_prepare", words);
  CommandLine line("bench_prepare", "Texts to token files, beside the encoder alone, in turns.", std::move(words));
  line.option("--tokenizer", options.tokenizer, "folder of the tokenizer", CommandLine::Need::required);
  line.option("--column", options.text.column, "column or key of the text");
  line.option("--document-separator", options.text.document_separator, "line that ends a document of a .txt file");
  line.option("--folder", options.folder, "takes the files, which are removed again");
  line.option("--threads", options.threads, "CPU threads; may be given several times");
  line.option("--rounds", options.rounds, "rounds of turns");
  line.option("--commit", options.commit, "of this program, for the rows");
  line.option("--out", options.out, "file to which the rows are appended");
  line.positional("TEXT", options.texts, "text files, together one data set");
  line.example("build/cpu/bench/bench_prepare --tokenizer gpt2 --column text1 --folder /tmp train.csv");
  if (!line.parse()) return kDone;
  bench(options);
  return kDone;
}

}  // namespace
}  // namespace trireme

int main(int, char** argv) { return trireme::bench_main(argv, trireme::run); }
