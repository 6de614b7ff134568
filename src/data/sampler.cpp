#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/numeric.h"
#include "base/random.h"
#include "data/numpy_random.h"

namespace trireme {
namespace {

constexpr size_t kBatch = 256;  // documents whose lengths are looked up at once

/// Fills `out` with ids laid end to end, from place `place` and `offset` ids on; the offset may lie beyond that place.
template <class Length, class Read>
void fill(std::span<int32_t> out, int64_t place, int64_t offset, Length length, Read read) {
  for (; !out.empty(); ++place) {
    const int64_t left = length(place) - offset;
    if (left > 0) {
      const size_t part = std::min(out.size(), static_cast<size_t>(left));
      read(out.first(part), place, offset);
      out = out.subspan(part);
      offset = 0;
    } else {
      offset = -left;
    }
  }
}

/// Whole windows of T targets in `tokens` ids; ConfigError where there is not even one.
int64_t whole_windows(const IndexedDataset& data, DocumentRange part, int64_t tokens, int64_t sequence_length) {
  if (tokens <= sequence_length)
    throw ConfigError(cat(data.prefix(), ": the ", part.size(), " documents of this part (", part.begin, " to ",
                          part.end, ") have ", tokens,
                          " ids, one sample takes data.sequence_length + 1 = ", sequence_length + 1,
                          "; give it more text or a larger share of data.split, or lower data.sequence_length"));
  return (tokens - 1) / sequence_length;
}

}  // namespace

std::array<DocumentRange, 3> split_documents(const std::array<double, 3>& shares, int64_t count, DataOrder order) {
  const double sum = shares[0] + shares[1] + shares[2];
  CHECK(sum > 0 && *std::min_element(shares.begin(), shares.end()) >= 0, "shares of a split");
  const bool each = order == DataOrder::megatron_v1_1_5 || order == DataOrder::paddle;
  const auto rounded = [&](double share) {
    return static_cast<int64_t>(std::nearbyint(share * static_cast<double>(count)));
  };
  std::array<int64_t, 3> ends;
  double before = 0;
  for (size_t p = 0; p < ends.size(); ++p) {
    before += shares[p] / sum;
    ends[p] = each ? rounded(shares[p] / sum) + (p > 0 ? ends[p - 1] : 0) : rounded(before);
  }
  const int64_t excess = each ? ends[2] - count : 0;
  std::array<DocumentRange, 3> parts;
  for (size_t p = 0; p < ends.size(); ++p)
    parts[p] = {p > 0 ? parts[p - 1].end : 0, std::max<int64_t>(0, ends[p] - excess)};
  return parts;
}

EpochOrder::EpochOrder(const IndexedDataset& data, DocumentRange part, int64_t sequence_length, int64_t seed)
    : data_(data), part_(part), sequence_length_(sequence_length), seed_(seed) {
  int64_t tokens = 0;
  for (int64_t d = part.begin; d < part.end; ++d) tokens += data.document_length(d);
  samples_per_epoch_ = whole_windows(data, part, tokens, sequence_length);
  for (Index& index : indexes_) index.begins.resize(static_cast<size_t>(ceil_div(part.size(), kStride)));
}

void EpochOrder::start(Index& index, int64_t epoch) const {
  const auto key = [&](std::string_view use) {
    return RandomKey::of(static_cast<uint64_t>(seed_), name_hash(use), static_cast<uint64_t>(epoch)).key;
  };
  index.epoch = epoch;
  index.built = index.tokens = 0;
  index.documents = KeyedPermutation(part_.size(), key("data order: documents"));
  index.windows = KeyedPermutation(samples_per_epoch_, key("data order: windows"));
}

void EpochOrder::build(Index& index, int64_t places) const {
  const int64_t end = std::min(part_.size(), index.built + places);
  std::array<int64_t, kBatch> documents, lengths;
  while (index.built < end) {
    const auto count = std::min(kBatch, static_cast<size_t>(end - index.built));
    index.documents.fill(std::span(documents).first(count), index.built);
    for (int64_t& document : std::span(documents).first(count)) document += part_.begin;
    data_.document_lengths(std::span(lengths).first(count), std::span(documents).first(count));
    for (size_t k = 0; k < count; ++k, ++index.built) {
      if (index.built % kStride == 0) index.begins[static_cast<size_t>(index.built / kStride)] = index.tokens;
      index.tokens += lengths[k];
    }
  }
}

void EpochOrder::sample(std::span<int32_t> out, int64_t i) {
  const int64_t epoch = i / samples_per_epoch_;
  Index &now = indexes_[static_cast<size_t>(epoch % 2)], &later = indexes_[static_cast<size_t>((epoch + 1) % 2)];
  if (now.epoch != epoch) start(now, epoch);
  build(now, part_.size());
  if (later.epoch != epoch + 1) start(later, epoch + 1);
  build(later, ceil_div(2 * part_.size(), samples_per_epoch_));

  const int64_t begin = now.windows(i % samples_per_epoch_) * sequence_length_;
  const int64_t entry = std::upper_bound(now.begins.begin(), now.begins.end(), begin) - now.begins.begin() - 1;
  const auto document = [&](int64_t place) { return part_.begin + now.documents(place); };
  fill(
      out, entry * kStride, begin - now.begins[static_cast<size_t>(entry)],
      [&](int64_t place) { return data_.document_length(document(place)); },
      [&](std::span<int32_t> ids, int64_t place, int64_t offset) {
        data_.read_document(ids, document(place), offset);
      });
}

MegatronOrder::MegatronOrder(const IndexedDataset& data, DocumentRange part, int64_t sequence_length,
                             int64_t num_samples, int64_t seed, DataOrder order)
    : data_(data), sequence_length_(sequence_length) {
  if (seed < 0 || seed > std::numeric_limits<uint32_t>::max())
    throw ConfigError(cat("data.seed is ", seed, ", Megatron's order takes one from 0 to 4294967295"));
  if (data.num_sequences() > std::numeric_limits<int32_t>::max())
    throw ConfigError(cat(data.prefix(), ": Megatron's order ends at 2147483647 sequences, there are ",
                          data.num_sequences(), "; set data.order=trireme"));
  int64_t tokens = 0;
  for (int64_t s = part.begin; s < part.end; ++s) tokens += data.sequence_length(s);
  samples_per_epoch_ = whole_windows(data, part, tokens, sequence_length);
  build(part, tokens, num_samples, static_cast<uint32_t>(seed), order);
}

void MegatronOrder::build(DocumentRange part, int64_t tokens, int64_t num_samples, uint32_t seed, DataOrder order) {
  num_epochs_ = std::max<int64_t>(1, ceil_div(num_samples * sequence_length_ + 1, tokens));
  // A last epoch of which less than 80 % is needed stays out of the common shuffle, so that the run does not see some
  // documents once more than others long before its end.
  const int64_t before_last = ((num_epochs_ - 1) * tokens - 1) / sequence_length_;
  const bool apart = num_epochs_ > 1 && order != DataOrder::megatron_v1_1_5 &&
                     num_samples - before_last < static_cast<int64_t>(0.80 * static_cast<double>(samples_per_epoch_));

  NumpyRandomState random(seed);
  const auto laid_whole = static_cast<size_t>((num_epochs_ - (apart ? 1 : 0)) * part.size());
  documents_.resize(static_cast<size_t>(num_epochs_ * part.size()));
  for (size_t place = 0; place < documents_.size(); place += static_cast<size_t>(part.size()))
    std::iota(&documents_[place], &documents_[place] + part.size(), static_cast<int32_t>(part.begin));
  if (order != DataOrder::paddle) {
    random.shuffle(std::span(documents_).first(laid_whole));
    random.shuffle(std::span(documents_).subspan(laid_whole));
  }

  const int64_t num_windows = (num_epochs_ * tokens - 1) / sequence_length_;
  find_starts(num_windows);
  const auto shuffled_whole = static_cast<size_t>(apart ? before_last : num_windows);
  shuffle_.resize(static_cast<size_t>(num_windows));
  std::iota(shuffle_.begin(), shuffle_.end(), uint32_t{0});
  random.shuffle(std::span(shuffle_).first(shuffled_whole));
  random.shuffle(std::span(shuffle_).subspan(shuffled_whole));
}

void MegatronOrder::find_starts(int64_t num_windows) {
  const auto count = static_cast<size_t>(num_windows) + 1;
  starts_.reserve(count);
  std::array<int64_t, kBatch> lengths;
  Start start;  // of the next window; its offset may lie beyond its place
  while (starts_.size() < count) {
    const auto places = std::span(documents_).subspan(static_cast<size_t>(start.place));
    const auto batch = places.first(std::min(kBatch, places.size()));
    data_.sequence_lengths(std::span(lengths).first(batch.size()), batch);
    for (size_t k = 0; k < batch.size(); ++k, ++start.place) {
      for (; start.offset < lengths[k] && starts_.size() < count; start.offset += sequence_length_)
        starts_.push_back(start);
      start.offset -= lengths[k];
    }
  }
}

void MegatronOrder::sample(std::span<int32_t> out, int64_t i) {
  CHECK(i >= 0 && i < static_cast<int64_t>(shuffle_.size()), "sample ", i, " of ", shuffle_.size());
  const Start start = starts_[shuffle_[static_cast<size_t>(i)]];
  const auto sequence = [&](int64_t place) { return documents_[static_cast<size_t>(place)]; };
  fill(
      out, start.place, start.offset, [&](int64_t place) { return data_.sequence_length(sequence(place)); },
      [&](std::span<int32_t> ids, int64_t place, int64_t offset) {
        data_.read_sequence(ids, sequence(place), offset);
      });
}

SequentialOrder::SequentialOrder(const IndexedDataset& data, DocumentRange part, int64_t sequence_length)
    : data_(data), first_sequence_(data.document_begin(part.begin)), sequence_length_(sequence_length) {
  for (int64_t s = first_sequence_; s < data.document_begin(part.end); ++s) {
    begins_.push_back(num_tokens_);
    num_tokens_ += data.sequence_length(s);
  }
  if (num_tokens_ > 1) num_samples_ = ceil_div(num_tokens_ - 1, sequence_length);
}

int64_t SequentialOrder::num_targets(int64_t i) const {
  return std::clamp<int64_t>(num_tokens_ - 1 - i * sequence_length_, 0, sequence_length_);
}

void SequentialOrder::sample(std::span<int32_t> out, int64_t i) {
  const int64_t targets = num_targets(i);
  const size_t used = targets > 0 ? static_cast<size_t>(targets) + 1 : 0;
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(used), out.end(), 0);
  if (used == 0) return;
  const int64_t begin = i * sequence_length_;
  const int64_t place = std::upper_bound(begins_.begin(), begins_.end(), begin) - begins_.begin() - 1;
  fill(
      out.first(used), place, begin - begins_[static_cast<size_t>(place)],
      [&](int64_t p) { return data_.sequence_length(first_sequence_ + p); },
      [&](std::span<int32_t> ids, int64_t p, int64_t offset) {
        data_.read_sequence(ids, first_sequence_ + p, offset);
      });
}

std::unique_ptr<SampleOrder> make_order(const IndexedDataset& data, const DataConfig& config, DataPart part,
                                        int64_t num_samples) {
  const bool epochs = config.order == DataOrder::trireme;
  const int64_t units = epochs ? data.num_documents() : data.num_sequences();
  const DocumentRange range = split_documents(config.split, units, config.order)[static_cast<size_t>(part)];
  if (epochs) return std::make_unique<EpochOrder>(data, range, config.sequence_length, config.seed);
  return std::make_unique<MegatronOrder>(data, range, config.sequence_length, num_samples, config.seed, config.order);
}

}  // namespace trireme
