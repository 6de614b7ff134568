// Which ids make sample i. A sample is a window of T + 1 ids of the documents laid end to end: T inputs and T targets,
// each one place on; windows overlap by one id, so that every id but the first is a target once. An order is a pure
// function of (data, part, T, seed, i); ranks, workers and resumes do not enter. Objects hold index tables, so each
// thread needs its own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/config.h"
#include "data/indexed.h"
#include "data/permutation.h"

namespace trireme {

struct DocumentRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const DocumentRange&) const = default;
};

/// Deals `count` documents to train, validation and test by shares such as 949, 50, 1. Boundaries are the running sums
/// of the shares times count, rounded (half to even), as Megatron-LM has them now. Its version 1.1.5 and Paddle round
/// each share by itself and take what that is too much, or too little, from all boundaries.
std::array<DocumentRange, 3> split_documents(const std::array<double, 3>& shares, int64_t count,
                                             DataOrder order = DataOrder::trireme);

class SampleOrder {
 public:
  virtual ~SampleOrder() = default;
  /// Samples of one pass over the part. The order itself goes on for ever, except where a class says otherwise.
  virtual int64_t samples_per_epoch() const = 0;
  /// Targets in sample i: T but in a last window that is cut short.
  virtual int64_t num_targets(int64_t i) const = 0;
  /// Fills `out`, T + 1 ids long, with sample i; behind num_targets(i) + 1 ids with 0.
  virtual void sample(std::span<int32_t> out, int64_t i) = 0;
};

/// Each epoch lays the documents in a new order and takes its windows in another, both drawn from (seed, epoch). What
/// is left at the end of an epoch, less than T ids, is dropped; it is another piece of text in every epoch.
class EpochOrder : public SampleOrder {
 public:
  /// ConfigError where the part has not even one whole window. `data` must outlive the order.
  EpochOrder(const IndexedDataset& data, DocumentRange part, int64_t sequence_length, int64_t seed);

  int64_t samples_per_epoch() const override { return samples_per_epoch_; }
  int64_t num_targets(int64_t) const override { return sequence_length_; }
  /// Samples asked for in rising order find each epoch's index made piece by piece during the one before.
  void sample(std::span<int32_t> out, int64_t i) override;

 private:
  static constexpr int64_t kStride = 16;  // documents an entry of the index stands for

  struct Index {
    int64_t epoch = -1, built = 0, tokens = 0;  // built: places laid so far
    KeyedPermutation documents, windows;
    std::vector<int64_t> begins;  // first token of every kStride-th place
  };

  void start(Index& index, int64_t epoch) const;
  void build(Index& index, int64_t places) const;

  const IndexedDataset& data_;
  DocumentRange part_;
  int64_t sequence_length_, seed_, samples_per_epoch_ = 0;
  std::array<Index, 2> indexes_;  // of even and of odd epochs
};

/// The order of Megatron-LM's GPTDataset and of its relatives, bit by bit. Its unit is the sequence. It depends on the
/// number of samples of the whole run and ends with them.
///   megatron          documents of all epochs shuffled at once, then windows; a last epoch that is needed less than to
///                     80 % is shuffled apart
///   megatron-v1.1.5   the same without that rule (GPT2Dataset)
///   paddle            that rule, but documents stay in the order of the files (PaddleFleetX)
class MegatronOrder : public SampleOrder {
 public:
  /// `part` counts sequences. ConfigError where it has not even one whole window.
  MegatronOrder(const IndexedDataset& data, DocumentRange part, int64_t sequence_length, int64_t num_samples,
                int64_t seed, DataOrder order = DataOrder::megatron);

  int64_t samples_per_epoch() const override { return samples_per_epoch_; }
  int64_t num_targets(int64_t) const override { return sequence_length_; }
  void sample(std::span<int32_t> out, int64_t i) override;

  int64_t num_epochs() const { return num_epochs_; }
  std::span<const int32_t> document_index() const { return documents_; }
  std::span<const uint32_t> shuffle_index() const { return shuffle_; }
  /// Where window w begins: a place of document_index() and an offset.
  struct Start {
    int64_t place = 0, offset = 0;
    bool operator==(const Start&) const = default;
  };
  std::span<const Start> sample_index() const { return starts_; }

 private:
  void build(DocumentRange part, int64_t tokens, int64_t num_samples, uint32_t seed, DataOrder order);
  void find_starts(int64_t num_windows);

  const IndexedDataset& data_;
  int64_t sequence_length_, samples_per_epoch_ = 0, num_epochs_ = 1;
  std::vector<int32_t> documents_;
  std::vector<Start> starts_;
  std::vector<uint32_t> shuffle_;
};

/// One pass in the order of the files, for evaluation; ends after samples_per_epoch(). The last window may be cut
/// short.
class SequentialOrder : public SampleOrder {
 public:
  /// A part with fewer than two ids has no samples.
  SequentialOrder(const IndexedDataset& data, DocumentRange part, int64_t sequence_length);

  int64_t samples_per_epoch() const override { return num_samples_; }
  int64_t num_targets(int64_t i) const override;
  void sample(std::span<int32_t> out, int64_t i) override;

 private:
  const IndexedDataset& data_;
  int64_t first_sequence_, sequence_length_, num_tokens_ = 0, num_samples_ = 0;
  std::vector<int64_t> begins_;  // first token of each sequence
};

/// Parts of data.split.
enum class DataPart : uint8_t { train, validation, test };

/// The order that data.order asks for, over a part of data.split, for a run that takes `num_samples` samples of it.
std::unique_ptr<SampleOrder> make_order(const IndexedDataset& data, const DataConfig& config, DataPart part,
                                        int64_t num_samples);

}  // namespace trireme
