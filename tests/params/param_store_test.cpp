// ZeRO-3: units that were asked for ahead are there when they are acquired, with the values of those that were not.
#include "params/param_store.h"

#include <gtest/gtest.h>

#include "comm/local.h"
#include "params/init.h"

namespace trireme {
namespace {

/// Counts the gathers of a rank.
class CountingGroup final : public Group {
 public:
  explicit CountingGroup(Group& inner) : inner_(inner) {}
  int gathers = 0;

  using Group::all_reduce;
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_reduce(Tensor t, ReduceOp op) override { inner_.all_reduce(t, op); }
  void all_gather(Tensor out, const Tensor& in) override {
    ++gathers;
    inner_.all_gather(out, in);
  }
  void reduce_scatter(Tensor out, const Tensor& in) override { inner_.reduce_scatter(out, in); }
  void broadcast(Tensor t, int root) override { inner_.broadcast(t, root); }
  void send(const Tensor& t, int to) override { inner_.send(t, to); }
  void recv(Tensor t, int from) override { inner_.recv(t, from); }
  void barrier() override { inner_.barrier(); }
  void abort() noexcept override { inner_.abort(); }

 private:
  Group& inner_;
};

constexpr int kUnits = 5;

/// Parameters of units of different sizes; the last one's is tied to the first one's.
void declare(ParamTable& table) {
  const ParamBuilder root(table);
  for (int u = 0; u < kUnits - 1; ++u) root.for_unit(u).add({.name = cat("w", u), .shape = {10 + 3 * u, 7}});
  root.for_unit(kUnits - 1).add({.name = "head", .shape = {10, 7}, .tied_to = "w0"});
  root.for_unit(kUnits - 1).add({.name = "norm", .shape = {9}});
}

std::vector<float> values_of(const ParamTable& table, int unit) {
  std::vector<float> values;
  for (const Param& p : table)
    if (p.spec.unit == unit) values.insert(values.end(), p.value.f32(), p.value.f32() + p.value.numel());
  return values;
}

TEST(ParamStore, WhatIsFetchedAheadIsThereWhenItIsAcquired) {
  run_local_ranks({.dp = 3}, [&](int, const Groups& groups) {
    ThreadPool pool(1);
    ParamTable whole_table, table;
    declare(whole_table);
    declare(table);
    SingleGroup single;
    const ModelLayout whole_layout(whole_table, kUnits, {{0, kUnits}}, single, 0);
    const ModelLayout layout(table, kUnits, {{0, kUnits}}, *groups.dp_cp, 3);
    ParamStore whole(whole_table, whole_layout, DType::f32, kCpu, single);
    CountingGroup replicas(*groups.dp_cp), fetch(*groups.fetch);
    ParamStore store(table, layout, DType::f32, kCpu, replicas, &fetch);
    const auto fill = [&](Param& p) { init_param(p, 3, pool); };
    whole.assign(fill);
    store.assign(fill);

    const std::vector<int> order{0, 1, 2, 3, 4, 3, 2, 1, 0, 1};
    for (size_t i = 0; i < order.size(); ++i) {
      store.acquire(order[i]);
      if (i + 1 < order.size()) store.prefetch(order[i + 1]);
      EXPECT_EQ(values_of(table, order[i]), values_of(whole_table, order[i])) << i;
      store.release(order[i]);
    }
    store.updated();
    EXPECT_EQ(replicas.gathers, 1);  // the first unit, for which nobody had asked
    EXPECT_GE(fetch.gathers, 7);     // some were still in the ring
  });
}

TEST(ParamStore, KeepsWhatIsMeasuredUntilAnAcquireSaysThatValuesMayHaveChanged) {
  ParamTable table;
  const ParamBuilder root(table);
  for (int u = 0; u < 2; ++u)
    for (const char* name : {"a", "b"})
      root.for_unit(u).add({.name = cat(name, u), .shape = {4, 4}, .measured = name[0] == 'b'});
  SingleGroup single;
  const ModelLayout layout(table, 2, {{0, 2}}, single, 0);
  ParamStore store(table, layout, DType::bf16, kCpu, single);
  Param &a = table[0], &b = table[1], &other = table[3];
  EXPECT_FALSE(a.largest.defined());
  EXPECT_TRUE(b.largest.defined() && other.largest.defined() && b.largest.data != other.largest.data);
  store.acquire(0);
  store.acquire(1);
  EXPECT_FALSE(b.has_largest());
  EXPECT_TRUE(b.has_largest());
  store.acquire(0, true);
  EXPECT_TRUE(b.has_largest());
  EXPECT_FALSE(other.has_largest());
  store.acquire(0);
  EXPECT_FALSE(b.has_largest());
}

TEST(ParamStore, AFailureWhileFetchingIsToldByAcquire) {
  EXPECT_THROW(run_local_ranks({.dp = 2},
                               [&](int rank, const Groups& groups) {
                                 ParamTable table;
                                 declare(table);
                                 const ModelLayout layout(table, kUnits, {{0, kUnits}}, *groups.dp_cp, 3);
                                 ParamStore store(table, layout, DType::f32, kCpu, *groups.dp_cp, groups.fetch);
                                 if (rank == 1) throw IoError("this rank fails");
                                 store.prefetch(2);
                                 EXPECT_THROW(store.acquire(2), PeerError);
                                 store.acquire(1);
                               }),
               IoError);
}

}  // namespace
}  // namespace trireme
