// Any bytes as an index, beside a data file of the same bytes: they are refused with an IoError, or every document and
// every window can be read.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "base/error.h"
#include "data/sampler.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const IndexedDataset dataset("fuzz", read_megatron("fuzz", bytes, bytes), IndexedDataset::kAnyVocabulary);
    SequentialOrder order(dataset, {0, dataset.num_documents()}, 4);
    if (dataset.num_tokens() > int64_t{1} << 20) return 0;  // sequences that overlap: true, but slow
    std::vector<int32_t> window(5);
    int64_t targets = 0;
    for (int64_t i = 0; i < order.samples_per_epoch(); ++i) {
      order.sample(window, i);
      targets += order.num_targets(i);
    }
    if (targets != (dataset.num_tokens() > 0 ? dataset.num_tokens() - 1 : 0)) std::abort();
    for (int64_t d = 0; d < dataset.num_documents(); ++d) {
      std::vector<int32_t> ids(static_cast<size_t>(dataset.document_length(d)));
      dataset.read_document(ids, d, 0);
    }
  } catch (const IoError&) {}
  return 0;
}
