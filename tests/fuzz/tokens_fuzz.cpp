// Any bytes as token files of PaddleFleetX (an .npz, beside ids of the same bytes or alone), of the older Megatron-LM
// and as a shard of llm.c: they are refused with an IoError, or every document can be read.
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "data/indexed.h"

namespace {

using namespace trireme;

template <class Read>
void read_all(Read read) {
  try {
    const IndexedDataset dataset("fuzz", read(), IndexedDataset::kAnyVocabulary);
    if (dataset.num_tokens() > int64_t{1} << 20) return;  // sequences that overlap: true, but slow
    for (int64_t d = 0; d < dataset.num_documents(); ++d) {
      std::vector<int32_t> ids(static_cast<size_t>(dataset.document_length(d)));
      dataset.read_document(ids, d, 0);
    }
  } catch (const IoError&) {}
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  read_all([&] { return read_paddle("fuzz", {}, bytes); });
  if (size > 0) read_all([&] { return read_paddle("fuzz", bytes, bytes); });
  if (size > 128) read_all([&] { return read_paddle("fuzz", bytes.first(128), bytes.subspan(128)); });
  if (size > 0) read_all([&] { return read_tntidx("fuzz", bytes, bytes); });
  read_all([&] { return read_llmc("fuzz", bytes); });
  return 0;
}
