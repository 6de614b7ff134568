// bench_index: seconds of one core to open token files of 10^9 ids (a sparse .bin, documents of some mean length) and
// to build the index of each order over them, for runs of 0.9 and of 2.5 epochs; one JSON line each.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "app/cli.h"
#include "app/commands.h"
#include "app/version.h"
#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "bench.h"
#include "data/numpy_random.h"
#include "data/sampler.h"

namespace trireme {
namespace {

struct BenchOptions {
  std::string folder = ".", out, commit = "unknown", command;
  int64_t tokens = 1000000000, length = 1024, rounds = 3;
};

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Documents of 1 to 2 * mean ids, `tokens` or a few more in all, of which only the index is written.
void write_files(const std::string& prefix, int64_t tokens, int64_t mean) {
  NumpyRandomState random(1);
  std::vector<int32_t> lengths;
  int64_t sum = 0;
  while (sum < tokens)
    sum += lengths.emplace_back(static_cast<int32_t>(1 + random.interval(static_cast<uint32_t>(2 * mean - 2))));
  std::string idx("MMIDIDX\0\0", 9);
  put(idx, uint64_t{1});
  put(idx, TokenType::u16);
  put(idx, static_cast<uint64_t>(lengths.size()));
  put(idx, static_cast<uint64_t>(lengths.size()) + 1);
  for (const int32_t length : lengths) put(idx, length);
  int64_t pointer = 0;
  for (const int32_t length : lengths) put(idx, std::exchange(pointer, pointer + 2 * length));
  for (size_t d = 0; d <= lengths.size(); ++d) put(idx, static_cast<int64_t>(d));
  write_file(prefix + ".idx", idx);
  write_file(prefix + ".bin", "");
  std::filesystem::resize_file(prefix + ".bin", static_cast<uint64_t>(2 * sum));
}

/// What is measured: opening (no order), or the index of an order over so many epochs up to its first sample.
struct Work {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds;
};

void bench_mean(const BenchOptions& options, int64_t mean, std::vector<Json>& rows) {
  const std::string prefix = options.folder + "/bench-index";
  write_files(prefix, options.tokens, mean);
  std::unique_ptr<IndexedDataset> data;
  std::vector<int32_t> ids(static_cast<size_t>(options.length) + 1);
  std::vector<Work> all;
  all.push_back({"open", [&] { data = std::make_unique<IndexedDataset>(prefix); }, {}});
  for (size_t order = 0; order < kDataOrderNames.size(); ++order)
    for (const double epochs : {0.9, 2.5}) {
      DataConfig config;
      config.sequence_length = options.length;
      config.order = static_cast<DataOrder>(order);
      const auto samples =
          static_cast<int64_t>(epochs * static_cast<double>(options.tokens) / static_cast<double>(options.length));
      all.push_back({cat(kDataOrderNames[order], ", ", number(epochs), " epochs"),
                     [&, config, samples] { make_order(*data, config, DataPart::train, samples)->sample(ids, 0); },
                     {}});
    }
  for (int64_t round = 0; round < options.rounds; ++round)
    for (Work& work : all) work.seconds.push_back(cpu_seconds(work.run));
  for (const Work& work : all) {
    Json row = Json::object();
    row["bench"] = "index_cpu";
    row["workload"] = cat(work.name, ", ", data->num_documents(), " documents");
    row["program"] = "trireme";
    row["version"] = std::string(kVersion);
    row["commit"] = options.commit;
    row["command"] = options.command;
    row["device"] = "cpu";
    row["threads"] = 1;
    row["precision"] = "exact";
    row["tokens_per_step"] = data->num_tokens();
    row["tokens_per_second"] = static_cast<double>(data->num_tokens()) / median(work.seconds);
    row["clock"] = "cpu";
    row["ms_p50"] = 1e3 * median(work.seconds);
    row["ms_best"] = 1e3 * *std::min_element(work.seconds.begin(), work.seconds.end());
    row["times_taken"] = options.rounds;
    rows.push_back(std::move(row));
  }
  std::filesystem::remove(prefix + ".idx");
  std::filesystem::remove(prefix + ".bin");
}

int run(std::vector<std::string> words) {
  BenchOptions options;
  options.command = command_of("bench_index", words);
  CommandLine line("bench_index", "Time to build the index of each order over 10^9 ids, on one core.",
                   std::move(words));
  line.option("--folder", options.folder, "takes the files, 200 MB that are removed again");
  line.option("--tokens", options.tokens, "ids");
  line.option("--length", options.length, "of a sample");
  line.option("--rounds", options.rounds, "how often each is measured");
  line.option("--commit", options.commit, "of this program, for the rows");
  line.option("--out", options.out, "file to which the rows are appended");
  line.example("build/cpu/bench/bench_index --folder /tmp --out bench/results/index.jsonl");
  if (!line.parse()) return kDone;
  std::vector<Json> rows;
  for (const int64_t mean : {1000, 100}) bench_mean(options, mean, rows);
  put_rows(rows, options.out);
  return kDone;
}

}  // namespace
}  // namespace trireme

int main(int, char** argv) { return trireme::bench_main(argv, trireme::run); }
