// Collectives through shared memory. A call goes in rounds: each member shows up to a slot of its data, they meet,
// each reads what it needs from the others. Slots alternate, so that one meeting a round is enough where nobody reads
// twice: who meets in round k + 1 has read all of round k, and a slot is written again in round k + 2.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/failpoint.h"
#include "base/numeric.h"
#include "comm/process_group.h"
#include "comm/sums.h"

namespace trireme {
namespace {

constexpr int64_t kAtOnceBytes = 16384;  // up to here every member adds up everything: one meeting instead of two

std::span<const std::byte> bytes_at(const Tensor& t) {
  return {static_cast<const std::byte*>(t.data), static_cast<size_t>(t.bytes())};
}

class SharedGroup final : public ProcessGroup {
 public:
  using ProcessGroup::ProcessGroup;

  void all_reduce(Tensor t, ReduceOp op) override {
    if (skip(t)) return;
    with_sum_type(t, [&](auto zero) {
      using T = decltype(zero);
      if (t.bytes() <= kAtOnceBytes)
        reduce_at_once(t.as<T>(), t.numel(), op);
      else
        for_each_chunk(t.numel(), static_cast<int64_t>(kSlotBytes / sizeof(T)),
                       [&](int64_t begin, int64_t n) { reduce_by_parts(t.as<T>() + begin, n, op); });
    });
  }

  void all_gather(Tensor out, const Tensor& in) override {
    if (skip(in)) return;
    CHECK(out.contiguous() && in.contiguous() && out.bytes() == in.bytes() * size(), "all_gather of ", in.str(),
          " into ", out.str());
    const std::byte* from = bytes_at(in).data();
    auto* to = static_cast<std::byte*>(out.data);
    if (to + rank_ * in.bytes() != from) std::memcpy(to + rank_ * in.bytes(), from, static_cast<size_t>(in.bytes()));
    for_each_chunk(in.bytes(), kSlotBytes, [&](int64_t begin, int64_t n) {
      std::memcpy(mine(), from + begin, static_cast<size_t>(n));
      meet("all_gather");
      for (int r = 0; r < size(); ++r)
        if (r != rank_) std::memcpy(to + r * in.bytes() + begin, shown(r), static_cast<size_t>(n));
      next_round();
    });
  }

  void reduce_scatter(Tensor out, const Tensor& in) override {
    if (skip(in)) return;
    CHECK(out.contiguous() && in.contiguous() && in.numel() == out.numel() * size() && in.dtype == DType::f32 &&
              out.dtype == DType::f32,
          "reduce_scatter of ", in.str(), " into ", out.str());
    const int64_t part = out.numel();
    const int64_t most = static_cast<int64_t>(kSlotBytes / sizeof(float)) / size();
    std::vector<const float*>& sources = sources_of(float{});
    for_each_chunk(part, most, [&](int64_t begin, int64_t n) {
      for (int r = 0; r < size(); ++r)
        if (r != rank_)
          std::memcpy(as<float>(mine()) + r * n, in.f32() + r * part + begin, static_cast<size_t>(n) * sizeof(float));
      meet("reduce_scatter");
      for (int r = 0; r < size(); ++r)
        sources[static_cast<size_t>(r)] =
            r == rank_ ? in.f32() + rank_ * part + begin : as<const float>(shown(r)) + rank_ * n;
      reduce_in_order<float>(out.f32() + begin, sources, n, ReduceOp::sum);
      next_round();
    });
  }

  void broadcast(Tensor t, int root) override {
    if (skip(t)) return;
    CHECK(t.contiguous(), "broadcast of ", t.str());
    auto* data = static_cast<std::byte*>(t.data);
    for_each_chunk(t.bytes(), kSlotBytes, [&](int64_t begin, int64_t n) {
      if (rank_ == root) std::memcpy(mine(), data + begin, static_cast<size_t>(n));
      meet("broadcast");
      if (rank_ != root) std::memcpy(data + begin, shown(root), static_cast<size_t>(n));
      next_round();
    });
  }

  void barrier() override {
    meet("barrier");
    next_round();
  }

 private:
  template <class Fn>
  static void for_each_chunk(int64_t n, int64_t most, Fn fn) {
    for (int64_t begin = 0; begin < n; begin += most) fn(begin, std::min(most, n - begin));
  }

  template <class T>
  static T* as(std::conditional_t<std::is_const_v<T>, const std::byte*, std::byte*> p) {
    return reinterpret_cast<T*>(p);
  }

  Lane& lane(int member) const { return world_.memory_of(world_rank(member)).lane(lane_); }
  std::byte* mine() const { return lane(rank_).slots[round_ % 2]; }
  const std::byte* shown(int member) const { return lane(member).slots[round_ % 2]; }
  void next_round() { ++round_; }

  /// Looks some hundred nanoseconds, which is what a small collective takes: cheaper than anything wait() does.
  static bool comes_soon(const std::atomic<uint64_t>& met, uint64_t times) {
    constexpr int kLooks = 200;
    for (int i = 0; i < kLooks; ++i)
      if (met.load(std::memory_order_acquire) >= times) return true;
    return false;
  }

  /// Returns when every member has come here as often as this one.
  void meet(const char* what) {
    failpoint("collective.enter");
    const uint64_t times = ++met_;
    lane(rank_).met.store(times, std::memory_order_release);
    for (int r = 0; r < size(); ++r)
      if (r != rank_) world_.memory_of(world_rank(r)).bell().ring();
    for (int r = 0; r < size(); ++r) {
      const std::atomic<uint64_t>& theirs = lane(r).met;
      if (comes_soon(theirs, times)) continue;
      world_.wait([&] { return theirs.load(std::memory_order_acquire) >= times; },
                  [&] { return cat(world_.name(world_rank(r)), " in ", what); }, waits_);
    }
    failpoint("collective.met");
  }

  std::vector<const float*>& sources_of(float) { return floats_; }
  std::vector<const double*>& sources_of(double) { return doubles_; }

  template <class T>
  void reduce_at_once(T* x, int64_t n, ReduceOp op) {
    std::memcpy(mine(), x, static_cast<size_t>(n) * sizeof(T));
    meet("all_reduce");
    std::vector<const T*>& sources = sources_of(T{});
    for (int r = 0; r < size(); ++r) sources[static_cast<size_t>(r)] = as<const T>(shown(r));
    reduce_in_order<T>(x, sources, n, op);
    next_round();
  }

  /// Each member adds up its part of the chunk, in the place of its slot that nobody else reads before.
  template <class T>
  void reduce_by_parts(T* x, int64_t n, ReduceOp op) {
    const auto begin_of = [&](int r) { return part_begin(n, size(), r); };
    const auto copy = [](T* to, const T* from, int64_t count) {
      std::memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
    };
    const int64_t begin = begin_of(rank_), end = begin_of(rank_ + 1);
    T* own = as<T>(mine());
    copy(own, x, begin);
    copy(own + end, x + end, n - end);
    meet("all_reduce");
    std::vector<const T*>& sources = sources_of(T{});
    for (int r = 0; r < size(); ++r) sources[static_cast<size_t>(r)] = (r == rank_ ? x : as<const T>(shown(r))) + begin;
    reduce_in_order<T>(own + begin, sources, end - begin, op);
    copy(x + begin, own + begin, end - begin);
    meet("all_reduce");
    for (int r = 0; r < size(); ++r)
      if (r != rank_) copy(x + begin_of(r), as<const T>(shown(r)) + begin_of(r), begin_of(r + 1) - begin_of(r));
    next_round();
  }

  uint64_t met_ = 0, round_ = 0;
  std::vector<const float*> floats_ = std::vector<const float*>(ranks_.size());
  std::vector<const double*> doubles_ = std::vector<const double*>(ranks_.size());
};

}  // namespace

ProcessGroup::ProcessGroup(ProcessWorld& world, std::vector<int> ranks, uint64_t lane, Waits waits)
    : world_(world),
      ranks_(std::move(ranks)),
      rank_(static_cast<int>(std::find(ranks_.begin(), ranks_.end(), world.rank()) - ranks_.begin())),
      lane_(lane),
      waits_(waits) {}

void ProcessGroup::send(const Tensor& t, int to) {
  if (skip(t)) return;
  CHECK(t.contiguous(), "send of ", t.str());
  failpoint("collective.send");
  world_.post(world_rank(to), 2 * lane_, bytes_at(t), waits_);
}

void ProcessGroup::recv(Tensor t, int from) {
  if (skip(t)) return;
  CHECK(t.contiguous(), "recv of ", t.str());
  world_.take(world_rank(from), 2 * lane_, {static_cast<std::byte*>(t.data), static_cast<size_t>(t.bytes())}, waits_);
}

std::unique_ptr<Group> make_shared_group(ProcessWorld& world, const std::vector<int>& ranks, uint64_t lane,
                                         Waits waits) {
  return std::make_unique<SharedGroup>(world, ranks, lane, waits);
}

}  // namespace trireme
