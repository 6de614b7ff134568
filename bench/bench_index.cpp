// bench_index [FOLDER [TOKENS]]: seconds of one core to open token files of 10^9 ids (a sparse .bin, documents of two
// mean lengths) and to build the index of each order over them, runs of 0.9 and of 2.5 epochs. FOLDER takes the files.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "data/numpy_random.h"
#include "data/sampler.h"

namespace trireme {
namespace {

constexpr int64_t kLength = 1024;

/// Of processor time: a busy machine does not count.
template <class F>
double seconds(F f) {
  const std::clock_t begin = std::clock();
  f();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Documents of 1 to 2 * mean ids, `tokens` or a few more in all, of which only the index is written.
int64_t write_files(const std::string& prefix, int64_t tokens, uint32_t mean) {
  NumpyRandomState random(1);
  std::vector<int32_t> lengths;
  int64_t sum = 0;
  while (sum < tokens) sum += lengths.emplace_back(static_cast<int32_t>(1 + random.interval(2 * mean - 2)));
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
  return static_cast<int64_t>(lengths.size());
}

void run(const std::string& folder, int64_t tokens) {
  for (const uint32_t mean : {1000U, 100U}) {
    const std::string prefix = folder + "/bench-index";
    const int64_t documents = write_files(prefix, tokens, mean);
    std::unique_ptr<IndexedDataset> data;
    const double open = seconds([&] { data = std::make_unique<IndexedDataset>(prefix); });
    std::printf("%lld ids in %lld documents: open %.2f s\n", static_cast<long long>(data->num_tokens()),
                static_cast<long long>(documents), open);
    for (size_t order = 0; order < kDataOrderNames.size(); ++order) {
      DataConfig config;
      config.sequence_length = kLength;
      config.order = static_cast<DataOrder>(order);
      for (const double epochs : {0.9, 2.5}) {
        const auto samples = static_cast<int64_t>(epochs * static_cast<double>(tokens) / kLength);
        std::vector<int32_t> ids(kLength + 1);
        const double built = seconds([&] { make_training_order(*data, config, samples)->sample(ids, 0); });
        std::printf("  %s, %.1f epochs: %.2f s\n", std::string(kDataOrderNames[order]).c_str(), epochs, built);
      }
    }
    std::filesystem::remove(prefix + ".idx");
    std::filesystem::remove(prefix + ".bin");
  }
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) { trireme::run(argc > 1 ? argv[1] : ".", argc > 2 ? std::atoll(argv[2]) : 1000000000); }
