#include "comm/local.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <thread>

#include "base/numeric.h"
#include "comm/sums.h"

namespace trireme {

class LocalHub {
 public:
  explicit LocalHub(int size)
      : slots(static_cast<size_t>(size)), channels_(static_cast<size_t>(size) * static_cast<size_t>(size)) {}

  std::vector<void*> slots;  // what each rank shows to the others, between two barriers

  int size() const { return static_cast<int>(slots.size()); }

  void barrier() {
    std::unique_lock lock(mutex_);
    check();
    const uint64_t round = round_;
    if (++arrived_ == size()) {
      arrived_ = 0;
      ++round_;
      wake_.notify_all();
      return;
    }
    wake_.wait(lock, [&] { return round_ != round || aborted_; });
    if (round_ == round) check();
  }

  void send(const Tensor& t, int from, int to) {
    std::unique_lock lock(mutex_);
    check();
    Channel& channel = channels_[static_cast<size_t>(from * size() + to)];
    std::vector<std::byte> message;
    if (!channel.spare.empty()) {
      message = std::move(channel.spare.back());
      channel.spare.pop_back();
    }
    const auto* begin = static_cast<const std::byte*>(t.data);
    message.assign(begin, begin + t.bytes());
    channel.queue.push_back(std::move(message));
    wake_.notify_all();
  }

  void recv(const Tensor& t, int from, int to) {
    std::unique_lock lock(mutex_);
    Channel& channel = channels_[static_cast<size_t>(from * size() + to)];
    wake_.wait(lock, [&] { return !channel.queue.empty() || aborted_; });
    check();
    std::vector<std::byte> message = std::move(channel.queue.front());
    channel.queue.pop_front();
    CHECK(static_cast<int64_t>(message.size()) == t.bytes(), "rank ", to, " expects ", t.bytes(), " bytes from rank ",
          from, ", which sent ", message.size());
    std::memcpy(t.data, message.data(), message.size());
    channel.spare.push_back(std::move(message));
  }

  void abort() noexcept {
    std::lock_guard lock(mutex_);
    aborted_ = true;
    wake_.notify_all();
  }

 private:
  struct Channel {
    std::deque<std::vector<std::byte>> queue;
    std::vector<std::vector<std::byte>> spare;
  };
  void check() const {
    if (aborted_) throw PeerError("another rank failed; this one stops too");
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  int arrived_ = 0;
  uint64_t round_ = 0;
  bool aborted_ = false;
  std::vector<Channel> channels_;
};

namespace {

class LocalGroup final : public Group {
 public:
  LocalGroup(LocalHub& hub, int rank) : hub_(hub), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return hub_.size(); }

  void all_reduce(Tensor t, ReduceOp op) override {
    if (skip(t)) return;
    with_sum_type(t, [&](auto zero) { reduce<decltype(zero)>(t, op); });
  }

  void all_gather(Tensor out, const Tensor& in) override {
    if (skip(in)) return;
    CHECK(out.bytes() == in.bytes() * size(), "all_gather of ", in.str(), " into ", out.str());
    show(in.data);
    for (int r = 0; r < size(); ++r) {
      char* to = static_cast<char*>(out.data) + r * in.bytes();
      if (to != shown(r)) std::memcpy(to, shown(r), static_cast<size_t>(in.bytes()));
    }
    hub_.barrier();
  }

  void reduce_scatter(Tensor out, const Tensor& in) override {
    if (skip(in)) return;
    CHECK(in.numel() == out.numel() * size(), "reduce_scatter of ", in.str(), " into ", out.str());
    show(in.data);
    reduce_in_order<float>(out.f32(), shown_from<float>(rank_ * out.numel()), out.numel(), ReduceOp::sum);
    hub_.barrier();
  }

  void broadcast(Tensor t, int root) override {
    if (skip(t)) return;
    show(t.data);
    if (rank_ != root) std::memcpy(t.data, shown(root), static_cast<size_t>(t.bytes()));
    hub_.barrier();
  }

  void send(const Tensor& t, int to) override {
    if (t.device.kind != DeviceKind::meta) hub_.send(t, rank_, to);
  }
  void recv(Tensor t, int from) override {
    if (t.device.kind != DeviceKind::meta) hub_.recv(t, from, rank_);
  }
  void barrier() override { hub_.barrier(); }
  void abort() noexcept override { hub_.abort(); }

 private:
  bool skip(const Tensor& t) const { return t.device.kind == DeviceKind::meta || t.numel() == 0; }
  void show(void* data) {
    hub_.slots[static_cast<size_t>(rank_)] = data;
    hub_.barrier();
  }
  void* shown(int r) const { return hub_.slots[static_cast<size_t>(r)]; }
  template <class T>
  std::vector<const T*> shown_from(int64_t begin) const {
    std::vector<const T*> all;
    for (int r = 0; r < size(); ++r) all.push_back(static_cast<const T*>(shown(r)) + begin);
    return all;
  }

  /// Each rank reduces its part of the elements and writes it to every member: one pass, no scratch.
  template <class T>
  void reduce(const Tensor& t, ReduceOp op) {
    show(t.data);
    const int64_t begin = part_begin(t.numel(), size(), rank_), n = part_begin(t.numel(), size(), rank_ + 1) - begin;
    T* mine = t.as<T>() + begin;
    reduce_in_order<T>(mine, shown_from<T>(begin), n, op);
    for (int r = 0; r < size(); ++r)
      if (r != rank_) std::copy_n(mine, n, static_cast<T*>(shown(r)) + begin);
    hub_.barrier();
  }

  LocalHub& hub_;
  int rank_;
};

}  // namespace

LocalWorld::LocalWorld(int size) : size_(size) {}
LocalWorld::~LocalWorld() = default;

std::unique_ptr<Group> LocalWorld::group(const std::vector<int>& ranks, int rank, Channel channel) {
  const auto place = std::find(ranks.begin(), ranks.end(), rank);
  CHECK(place != ranks.end(), "rank ", rank, " is not in the group");
  std::lock_guard lock(mutex_);
  std::unique_ptr<LocalHub>& hub = hubs_[{ranks, channel}];
  if (!hub) hub = std::make_unique<LocalHub>(static_cast<int>(ranks.size()));
  return std::make_unique<LocalGroup>(*hub, static_cast<int>(place - ranks.begin()));
}

void LocalWorld::abort() noexcept {
  std::lock_guard lock(mutex_);
  for (auto& [key, hub] : hubs_) hub->abort();
}

void run_local_ranks(const Mesh& mesh, const std::function<void(int rank, const Groups&)>& body) {
  const int n = mesh.world_size();
  LocalWorld world(n);
  // All groups exist before any rank runs, so that an abort reaches every one of them.
  std::vector<std::unique_ptr<Group>> owned;
  std::vector<Groups> groups;
  for (int r = 0; r < n; ++r)
    groups.push_back(make_groups(mesh, r, [&](const std::vector<int>& ranks, Channel channel) {
      return owned.emplace_back(world.group(ranks, r, channel)).get();
    }));

  std::mutex mutex;
  std::exception_ptr error;
  std::vector<std::thread> threads;
  for (int r = 0; r < n; ++r)
    threads.emplace_back([&, r] {
      try {
        body(r, groups[static_cast<size_t>(r)]);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        world.abort();
      }
    });
  for (std::thread& t : threads) t.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace trireme
