// Collectives by messages, for groups whose members are on several hosts: every pair exchanges what the other needs.
#include <algorithm>
#include <cstring>

#include "base/numeric.h"
#include "comm/process_group.h"
#include "comm/sums.h"

namespace trireme {
namespace {

class MessageGroup final : public ProcessGroup {
 public:
  using ProcessGroup::ProcessGroup;

  void all_reduce(Tensor t, ReduceOp op) override {
    if (skip(t)) return;
    with_sum_type(t, [&](auto zero) { reduce(t.as<decltype(zero)>(), t.numel(), op); });
  }

  void all_gather(Tensor out, const Tensor& in) override {
    if (skip(in)) return;
    CHECK(out.contiguous() && in.contiguous() && out.bytes() == in.bytes() * size(), "all_gather of ", in.str(),
          " into ", out.str());
    auto* to = static_cast<std::byte*>(out.data);
    const auto bytes = static_cast<size_t>(in.bytes());
    const auto place = [&](int r) { return to + static_cast<size_t>(r) * bytes; };
    if (place(rank_) != in.data) std::memcpy(place(rank_), in.data, bytes);
    for_others([&](int r) { post(r, place(rank_), bytes); });
    for_others([&](int r) { take(r, place(r), bytes); });
  }

  void reduce_scatter(Tensor out, const Tensor& in) override {
    if (skip(in)) return;
    CHECK(out.contiguous() && in.contiguous() && in.numel() == out.numel() * size() && in.dtype == DType::f32 &&
              out.dtype == DType::f32,
          "reduce_scatter of ", in.str(), " into ", out.str());
    const int64_t n = out.numel();
    for_others([&](int r) { post(r, in.f32() + r * n, static_cast<size_t>(n) * sizeof(float)); });
    add_up(out.f32(), in.f32() + rank_ * n, n, ReduceOp::sum);
  }

  void broadcast(Tensor t, int root) override {
    if (skip(t)) return;
    CHECK(t.contiguous(), "broadcast of ", t.str());
    const auto bytes = static_cast<size_t>(t.bytes());
    if (rank_ == root)
      for_others([&](int r) { post(r, t.data, bytes); });
    else
      take(root, t.data, bytes);
  }

  void barrier() override {
    std::byte token{};
    for_others([&](int r) { post(r, &token, 1); });
    for_others([&](int r) { take(r, &token, 1); });
  }

 private:
  template <class Fn>
  void for_others(Fn fn) {
    for (int i = 1; i < size(); ++i) fn((rank_ + i) % size());
  }
  void post(int to, const void* data, size_t bytes) {
    world_.post(world_rank(to), 2 * lane_ + 1, {static_cast<const std::byte*>(data), bytes}, waits_);
  }
  void take(int from, void* data, size_t bytes) {
    world_.take(world_rank(from), 2 * lane_ + 1, {static_cast<std::byte*>(data), bytes}, waits_);
  }

  /// out = own and what each other member has posted, added in rank order.
  template <class T>
  void add_up(T* out, const T* own, int64_t n, ReduceOp op) {
    if (n == 0) return;
    const auto bytes = static_cast<size_t>(n) * sizeof(T);
    scratch_.resize(bytes * ranks_.size());
    std::vector<const T*> sources;
    for (int r = 0; r < size(); ++r) {
      std::byte* place = scratch_.data() + static_cast<size_t>(r) * bytes;
      if (r != rank_) take(r, place, bytes);
      sources.push_back(r == rank_ ? own : reinterpret_cast<const T*>(place));
    }
    reduce_in_order<T>(out, sources, n, op);
  }

  template <class T>
  void reduce(T* x, int64_t n, ReduceOp op) {
    const auto begin = [&](int r) { return part_begin(n, size(), r); };
    const auto bytes = [&](int r) { return static_cast<size_t>(begin(r + 1) - begin(r)) * sizeof(T); };
    for_others([&](int r) {
      if (bytes(r) > 0) post(r, x + begin(r), bytes(r));
    });
    add_up(x + begin(rank_), x + begin(rank_), begin(rank_ + 1) - begin(rank_), op);
    for_others([&](int r) {
      if (bytes(rank_) > 0) post(r, x + begin(rank_), bytes(rank_));
    });
    for_others([&](int r) {
      if (bytes(r) > 0) take(r, x + begin(r), bytes(r));
    });
  }

  std::vector<std::byte> scratch_;
};

}  // namespace

std::unique_ptr<Group> make_message_group(ProcessWorld& world, const std::vector<int>& ranks, uint64_t lane,
                                          Waits waits) {
  return std::make_unique<MessageGroup>(world, ranks, lane, waits);
}

}  // namespace trireme
