#include "tensor/arena.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace trireme {
namespace {

/// What a step might take: two nested scopes, the inner one larger.
int64_t use(Arena& arena) {
  const ArenaScope outer(arena);
  arena.take(DType::f32, {10});
  {
    const ArenaScope inner(arena);
    arena.take(DType::bf16, {1000});
    arena.take(DType::i64, {3});
  }
  arena.take(DType::f32, {65});
  return arena.mark();
}

TEST(Arena, ThePlannedPeakIsExactlyEnough) {
  Arena plan = Arena::planning("temp");
  use(plan);
  EXPECT_EQ(plan.peak(), 256 + 2048 + 256);
  EXPECT_EQ(plan.mark(), 0);
  Arena real("temp", kCpu, plan.peak());
  EXPECT_EQ(use(real), 256 + 512);
  EXPECT_EQ(real.peak(), plan.peak());
  Arena small("temp", kCpu, plan.peak() - 1);
  EXPECT_THROW(use(small), Bug);
}

TEST(Arena, PlanningHasShapesAndNoMemory) {
  Arena plan = Arena::planning("keep");
  const Tensor t = plan.take(DType::f32, {1 << 20, 1 << 20});
  EXPECT_EQ(t.data, nullptr);
  EXPECT_EQ(t.device, kMeta);
  EXPECT_EQ(plan.peak(), int64_t{4} << 40);
}

TEST(Arena, TakesAreAlignedAndApart) {
  Arena arena("a", kCpu, 4096);
  const Tensor a = arena.take(DType::u8, {1}), b = arena.take(DType::f32, {2, 2}), c = arena.take(DType::f32, {0});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data) % kAlignment, 0u);
  EXPECT_EQ(static_cast<char*>(b.data) - static_cast<char*>(a.data), kAlignment);
  EXPECT_EQ(c.numel(), 0);
  EXPECT_EQ(b.device, kCpu);
}

TEST(Arena, PoisonTurnsReleasedMemoryIntoNaN) {
  for (const bool poison : {false, true}) {
    Arena arena("a", kCpu, 1024);
    arena.set_poison(poison);
    const Tensor kept = arena.take(DType::f32, {4});
    kept.f32()[3] = 1;
    Tensor released;
    {
      const ArenaScope scope(arena);
      released = arena.take(DType::f32, {4});
      released.f32()[0] = 2;
    }
    EXPECT_EQ(std::isnan(released.f32()[0]), poison);
    EXPECT_EQ(kept.f32()[3], 1);
  }
}

TEST(Arena, ReleaseGoesDownOnly) {
  Arena arena("a", kCpu, 1024);
  arena.take(DType::f32, {1});
  EXPECT_THROW(arena.release(512), Bug);
}

TEST(Buffer, OwnsZeroedMemoryAndMoves) {
  Buffer a("weights", kCpu, 1000);
  EXPECT_EQ(*a.view(DType::f32, {250}).f32(), 0.0F);
  void* data = a.data();
  Buffer b(std::move(a));
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(a.data(), nullptr);
  a = std::move(b);
  EXPECT_EQ(a.data(), data);
  EXPECT_THROW(a.view(DType::f32, {251}), Bug);
  EXPECT_THROW(a.view(DType::f32, {1}, 997), Bug);
  EXPECT_THROW(a.view(DType::f32, {1}, -4), Bug);
}

TEST(Buffer, OnMetaCountsOnly) {
  const Buffer b("weights", kMeta, int64_t{1} << 50);
  EXPECT_EQ(b.data(), nullptr);
  EXPECT_EQ(b.view(DType::f32, {1 << 20}).data, nullptr);
}

}  // namespace
}  // namespace trireme
