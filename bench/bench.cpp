#include "bench.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>

#include "app/standard_io.h"
#include "base/file.h"
#include "ops/cpu/blas.h"

namespace trireme {

int bench_main(char** argv, int (*run)(std::vector<std::string>)) {
  cpu::restart_with_better_blas(argv);
  std::vector<std::string> words;
  for (char** word = argv + 1; *word != nullptr; ++word) words.emplace_back(*word);
  try {
    return run(std::move(words));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", std::filesystem::path(argv[0]).filename().c_str(), e.what());
    return 1;
  }
}

std::string command_of(const std::string& name, const std::vector<std::string>& words) {
  std::string command = name;
  for (const std::string& word : words) command += " " + word;
  return command;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

double cpu_seconds(const std::function<void()>& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

void print_profile(CudaContext& cuda, const std::function<void()>& step) {
  cuda_profile_start(cuda);
  step();
  double total = 0;
  const std::vector<CudaSpan> spans = cuda_profile_end(cuda);
  for (const CudaSpan& s : spans) total += s.ms;
  std::fprintf(stderr, "%-24s %6s %9s %6s %10s %10s\n", "op", "calls", "ms", "%", "TFLOP/s", "GB/s");
  for (const CudaSpan& s : spans) {
    const double seconds = s.ms / static_cast<double>(s.calls) * 1e-3;
    std::fprintf(stderr, "%-24s %6d %9.3f %6.1f %10.1f %10.0f\n", s.op.c_str(), static_cast<int>(s.calls), s.ms,
                 100 * s.ms / total, s.flops / seconds / 1e12, s.bytes / seconds / 1e9);
  }
  std::fprintf(stderr, "%-24s %6s %9.3f\n", "all", "", total);
}

void put_rows(const std::vector<Json>& rows, const std::string& out) {
  std::string lines;
  for (const Json& row : rows) lines += row.dump() + "\n";
  print(lines);
  if (!out.empty()) write_file(out, (std::filesystem::exists(out) ? read_file(out) : "") + lines);
}

}  // namespace trireme
