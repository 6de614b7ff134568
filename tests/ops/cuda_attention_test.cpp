// Attention on the GPU against the CPU's in f32: our own kernels on every kind of segment, cuDNN on equal sequences.
#include "ops/attention.h"
#include "ops/cuda_op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

struct Case {
  const char* name;
  std::vector<Segment> segments;
  int64_t heads = 2, kv_heads = 2, head_size = 16;
  bool causal = true;
  int64_t window = 0;
  float dropout = 0;
  int64_t spare = 0;  // rows of q and k outside all segments
  double depth = 0;   // how far below 0 all scores lie
};

/// Segments of these lengths that follow each other.
std::vector<Segment> packed(std::initializer_list<int32_t> lengths) {
  std::vector<Segment> out;
  int32_t at = 0;
  for (const int32_t n : lengths) {
    out.push_back({at, n, at, n, 0, 0});
    at += n;
  }
  return out;
}

double relative_error(const Doubles& got, const Doubles& want) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

class CudaAttention : public CudaTypes {
 protected:
  static constexpr double kScale = 0.37;

  /// `values` of heads of d channels, the first of which are `first`.
  static Doubles with_first_channel(Doubles values, int64_t d, double first) {
    for (size_t i = 0; i < values.size(); i += static_cast<size_t>(d)) values[i] = first;
    return values;
  }

  void check(const Case& x, bool repeats_exactly = true) {
    SCOPED_TRACE(cat(x.name, ", ", x.heads, " heads of ", x.head_size, ", ", x.segments[0].q_len, " queries"));
    int64_t nq = x.spare, nk = x.spare;
    for (const Segment& s : x.segments) {
      nq = std::max<int64_t>(nq, s.q_begin + s.q_len + x.spare);
      nk = std::max<int64_t>(nk, s.k_begin + s.k_len + x.spare);
    }
    const Shape qs{nq, x.heads, x.head_size}, ks{nk, x.kv_heads, x.head_size};
    // Heads lie in rows that hold more, as in a fused projection.
    Doubles of_q = random_values(qs.numel(), 1, 2), of_k = random_values(ks.numel(), 2, 2);
    if (x.depth > 0) {
      of_q = with_first_channel(std::move(of_q), x.head_size, -x.depth / kScale);
      of_k = with_first_channel(std::move(of_k), x.head_size, 1);
    }
    const Twin& q = twin(dtype(), qs, of_q, 8);
    const Twin& k = twin(dtype(), ks, of_k, 8);
    const Twin& v = twin(dtype(), ks, random_values(ks.numel(), 3), 8);
    const Twin& d_o = twin(dtype(), qs, random_values(qs.numel(), 4));
    const Twin& o = twin(dtype(), qs, Doubles(static_cast<size_t>(qs.numel()), 0.0));
    const Twin& lse = twin(DType::f32, {nq, x.heads}, Doubles(static_cast<size_t>(nq * x.heads), 0.0));
    const Twin &dq = blank(dtype(), qs, 8), &dk = blank(dtype(), ks, 8), &dv = blank(dtype(), ks, 8);
    Doubles ids(static_cast<size_t>(nq));
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<double>(i / 3);
    const Twin& samples = twin(DType::i64, {nq}, ids);

    set_up_both([&](Ctx& ctx) {
      ctx.train = true;
      ctx.seed = 5;
      ctx.step = 3;
    });
    const auto run = [&](const Side& on) {
      const AttentionArgs args{.segments = x.segments,
                               .scale = static_cast<float>(kScale),
                               .causal = x.causal,
                               .window = x.window,
                               .dropout = x.dropout,
                               .site = 9,
                               .sample_ids = on(samples),
                               .head_begin = 1};
      attention_forward(on.ctx, on(o), on(lse), on(q), on(k), on(v), args);
      attention_backward(on.ctx, on(dq), on(dk), on(dv), on(d_o), on(q), on(k), on(v), on(o), on(lse), args);
    };
    if (repeats_exactly)
      run_both(run);
    else
      run_once(run);
    // Deep scores have keys that are 1 in a channel: there dq is what was rounded of o.
    const double limit = dtype() == DType::f32 ? 4e-6 : dtype_epsilon(dtype()) * (x.depth > 0 ? 2 : 1);
    const std::pair<const char*, const Twin*> results[] = {{"o", &o}, {"dq", &dq}, {"dk", &dk}, {"dv", &dv}};
    for (const auto& [name, twin] : results) EXPECT_LE(relative_error(twin->got(), twin->want()), limit) << name;
    expect_twins_close(lse, 4e-6, 4e-6, "lse");
    forget();
  }
};

/// Heads [begin, begin + count) of d channels each, of rows (N, heads * d).
Tensor heads_of(const Tensor& rows, int64_t begin, int64_t count, int64_t d) {
  Tensor t = rows.slice(1, begin * d, (begin + count) * d);
  t.shape = {rows.size(0), count, d};
  t.strides = {rows.stride(0), d, 1};
  return t;
}

TEST_P(CudaAttention, EqualsTheCpusOnEveryKindOfSegment) {
  const std::vector<Case> cases = {
      {"one", packed({40})},
      {"packed", packed({1, 33, 64, 7})},
      {"grouped heads", packed({45, 20}), 6, 2},
      {"not causal", packed({37}), 2, 2, 16, false},
      {"window", packed({70, 12}), 2, 1, 16, true, 9},
      {"window, not causal", packed({50}), 2, 2, 16, false, 5},
      {"spare rows", packed({20, 9}), 2, 2, 16, true, 0, 0, 4},
      {"later queries", {{0, 3, 0, 40, 37, 0}, {3, 2, 40, 10, 8, 0}}},
      {"one query a cache", {{0, 1, 0, 65, 64, 0}, {1, 1, 80, 1, 0, 0}}, 4, 2},
      {"a query without keys", {{0, 4, 0, 4, 0, 2}}},
      {"dropout", packed({40, 23}), 4, 2, 16, true, 0, 0.3F},
      {"dropout in a window", packed({40}), 2, 2, 16, true, 11, 0.2F},
  };
  for (const Case& x : cases) check(x);
}

TEST_P(CudaAttention, TakesHeadsOfAnySizeUpTo256) {
  for (const int64_t d : {1, 5, 24, 64, 80, 128, 200, 256}) check({"head size", packed({33, 18}), 2, 1, d});
}

/// Lengths and head sizes that cuDNN takes in 16 bits; f32 goes to our kernels.
TEST_P(CudaAttention, EqualSequencesInWholeTiles) {
  for (const int64_t d : {64, 128})
    for (const int64_t kv_heads : {4, 2})
      for (const int32_t n : {128, 192, 384}) check({"equal", packed({n, n}), 4, kv_heads, d}, false);
}

TEST_P(CudaAttention, OfOneNewTokenASequenceEqualsTheCpusAndFillsTheCache) {
  constexpr int64_t kCapacity = 700, kSequences = 3;
  for (const auto& [heads, kv_heads, d] : {std::tuple<int64_t, int64_t, int64_t>{2, 2, 64},
                                           {8, 2, 128},
                                           {4, 2, 64},
                                           {7, 1, 32},
                                           {2, 1, 256},
                                           {4, 4, 6},
                                           {8, 2, 200},
                                           {16, 8, 128},
                                           {9, 9, 20}})
    for (const int64_t window : {0, 9})
      for (const bool turns : {true, false}) {
        SCOPED_TRACE(cat(heads, " heads on ", kv_heads, " of ", d, ", window ", window, turns ? ", RoPE" : ""));
        const int64_t n = kSequences, rows = n * kCapacity;
        const auto some = [&](int64_t count, uint64_t seed) { return random_values(count, seed); };
        // The new tokens lie side by side in one tensor, as a projection leaves them.
        const Twin& qkv = twin(dtype(), {n, (heads + 2 * kv_heads) * d}, some(n * (heads + 2 * kv_heads) * d, 1));
        const Twin& keys = twin(dtype(), {rows, kv_heads, d}, some(rows * kv_heads * d, 2));
        const Twin& values = twin(dtype(), {rows, kv_heads, d}, some(rows * kv_heads * d, 3));
        const Twin& o = blank(dtype(), {n, heads, d});
        const Twin& table = twin(DType::f32, {kCapacity, d}, some(kCapacity * d, 4));
        const Twin& positions = twin(DType::i32, {n}, {0, 15, 611});
        const Twin& cache_rows = twin(DType::i32, {n}, {kCapacity, 0, 2 * kCapacity});
        run_both([&, heads = heads, kv_heads = kv_heads, d = d](const Side& on) {
          const auto part = [&](int64_t first, int64_t count) { return heads_of(on(qkv), first, count, d); };
          decode_attention(on.ctx, on(o), part(0, heads), part(heads, kv_heads), part(heads + kv_heads, kv_heads),
                           {on(keys), on(values)},
                           {.scale = 0.37F,
                            .window = window,
                            .rope_table = turns ? on(table) : Tensor(),
                            .positions = on(positions),
                            .cache_rows = on(cache_rows)});
        });
        const double limit = dtype() == DType::f32 ? 4e-6 : 2 * dtype_epsilon(dtype());
        EXPECT_LE(relative_error(o.got(), o.want()), limit);
        EXPECT_LE(relative_error(keys.got(), keys.want()), dtype() == DType::f32 ? 1e-6 : dtype_epsilon(dtype()));
        EXPECT_EQ(values.got(), values.want());
        forget();
      }
}

/// One token by itself takes another kernel than several do.
TEST_P(CudaAttention, OfOneNewTokenHasTheBitsThatItHasAmongOthers) {
  constexpr int64_t kCapacity = 300, kMany = 3;
  for (const auto& [heads, kv_heads, d, window] : {std::tuple<int64_t, int64_t, int64_t, int64_t>{8, 2, 128, 0},
                                                   {2, 2, 64, 9},
                                                   {4, 1, 256, 0},
                                                   {2, 1, 256, 0},
                                                   {7, 1, 32, 0},
                                                   {9, 9, 20, 50},
                                                   {4, 4, 6, 0},
                                                   {2, 1, 1, 0},
                                                   {6, 3, 80, 0}})
    for (const double position : {0.0, 1.0, 15.0, 217.0}) {
      SCOPED_TRACE(cat(heads, " heads on ", kv_heads, " of ", d, ", window ", window, ", position ", position));
      const int64_t width = (heads + 2 * kv_heads) * d;
      const Doubles row = random_values(width, 1), kept = random_values(kCapacity * kv_heads * d, 2);
      const bool turns = d % 2 == 0;
      const Doubles angles = random_values(kCapacity * d, 3);
      const auto answer = [&, heads = heads, kv_heads = kv_heads, d = d, window = window](int64_t n) {
        Doubles rows, keys, places;
        for (int64_t i = 0; i < n; ++i) {
          rows.insert(rows.end(), row.begin(), row.end());
          keys.insert(keys.end(), kept.begin(), kept.end());
          places.push_back(static_cast<double>(i * kCapacity));
        }
        const Shape cache{n * kCapacity, kv_heads, d};
        const Twin &qkv = twin(dtype(), {n, width}, rows), &k = twin(dtype(), cache, keys),
                   &v = twin(dtype(), cache, keys), &o = blank(dtype(), {n, heads, d}),
                   &at = twin(DType::i32, {n}, Doubles(static_cast<size_t>(n), position)),
                   &begin = twin(DType::i32, {n}, places), &table = twin(DType::f32, {kCapacity, d}, angles);
        run_both([&](const Side& on) {
          const auto part = [&](int64_t first, int64_t count) { return heads_of(on(qkv), first, count, d); };
          decode_attention(on.ctx, on(o), part(0, heads), part(heads, kv_heads), part(heads + kv_heads, kv_heads),
                           {on(k), on(v)},
                           {.scale = 0.2F,
                            .window = window,
                            .rope_table = turns ? on(table) : Tensor(),
                            .positions = on(at),
                            .cache_rows = on(begin)});
        });
        const double limit = dtype() == DType::f32 ? 4e-6 : 2 * dtype_epsilon(dtype());
        EXPECT_LE(relative_error(o.got(), o.want()), limit);
        Doubles got = o.got();
        for (const Twin* t : {&k, &v}) {  // of the first sequence, the new row included
          const Doubles all = t->got();
          got.insert(got.end(), all.begin(), all.begin() + kCapacity * kv_heads * d);
        }
        forget();
        return got;
      };
      const Doubles alone = answer(1), among = answer(kMany);
      const size_t own = static_cast<size_t>(heads * d), others = own * kMany;
      for (size_t i = 0; i < others; ++i) ASSERT_EQ(among[i], alone[i % own]) << i;
      for (size_t i = own; i < alone.size(); ++i) ASSERT_EQ(among[others - own + i], alone[i]) << "cache, " << i;
    }
}

INSTANTIATE_TEST_SUITE_P(, CudaAttention, storage_types(), dtype_test_name);

/// One test for each bug of cuDNN's attention that was reported for the GPUs and kinds of calls that we have. Whether
/// cuDNN takes a call or our kernels do, what comes out must be right.
class CudaAttentionBugs : public CudaAttention {
 protected:
  static constexpr double kDepth = 120;  // e to the power of it is beyond f32
};

/// pytorch #196678: dq is NaN where the last tile of 128 keys is half full, a mask tensor is given, and scores lie far
/// below 0.
TEST_P(CudaAttentionBugs, HalfATileOfKeysAndScoresFarBelow0) {
  for (const int64_t d : {64, 128})
    for (const int32_t n : {192, 704})
      check({.name = "half a tile", .segments = packed({n, n}), .head_size = d, .depth = kDepth}, false);
}

/// cudnn-frontend #160: gradients are NaN where a length is no multiple of the tile's.
TEST_P(CudaAttentionBugs, LengthsOfNoWholeTiles) {
  for (const int32_t n : {129, 160, 200, 255})
    for (const double depth : {0.0, kDepth})
      check({.name = "odd length", .segments = packed({n, n}), .head_size = 64, .depth = depth}, false);
}

/// cudnn-frontend #1072: dk and dv are NaN of one query and 128 keys, where scores lie far below 0.
TEST_P(CudaAttentionBugs, OneQuery) {
  for (const bool causal : {true, false})
    check(
        {.name = "128 keys", .segments = {{0, 1, 0, 128, 127, 0}}, .head_size = 64, .causal = causal, .depth = kDepth},
        false);
}

/// cudnn-frontend 1.14.1: head sizes that cuDNN 9.11 and 9.12 take and work out wrongly.
TEST_P(CudaAttentionBugs, HeadsOfManySizesInWholeTiles) {
  for (const int64_t d : {8, 24, 40, 72, 80, 96, 104, 120})
    check({.name = "head size", .segments = packed({128, 128}), .heads = 2, .kv_heads = 1, .head_size = d}, false);
}

/// pytorch #193893: fewer than eight key-value heads.
TEST_P(CudaAttentionBugs, FewHeadsOfKeys) {
  for (const int64_t kv_heads : {1, 3, 5, 7})
    check(
        {.name = "few heads", .segments = packed({128}), .heads = 2 * kv_heads, .kv_heads = kv_heads, .head_size = 64},
        false);
}

/// TransformerEngine #2186: the backward reads workspace that it has not written.
TEST_P(CudaAttentionBugs, AWorkspaceOfNaN) {
  Arena& temp = *gpu().temp;
  for (const int64_t kv_heads : {4, 2}) {
    {
      const ArenaScope scope(temp);
      temp.take(DType::u8, {temp.capacity()});  // released memory is NaN
    }
    check({.name = "NaN", .segments = packed({256, 256}), .heads = 4, .kv_heads = kv_heads, .head_size = 64}, false);
  }
}

/// cudnn-frontend 1.16.0: the backward, asked for again as a graph, reads beyond keys that are no whole tiles.
TEST_P(CudaAttentionBugs, AGraphOfHalfATileOfKeys) {
  const Shape shape{2 * 192, 2, 64};
  const std::vector<Segment> segments = packed({192, 192});
  const auto values = [&](uint64_t seed) { return random_values(shape.numel(), seed); };
  const Twin &q = twin(dtype(), shape, values(1)), &k = twin(dtype(), shape, values(2));
  const Twin &v = twin(dtype(), shape, values(3)), &d_o = twin(dtype(), shape, values(4));
  const Twin &o = blank(dtype(), shape), &lse = blank(DType::f32, {shape[0], shape[1]});
  Twin* const gradients[] = {&blank(dtype(), shape), &blank(dtype(), shape), &blank(dtype(), shape)};
  Ctx& ctx = gpu();
  ctx.deterministic = true;
  ctx.temp->set_poison(false);  // which a graph cannot hold
  const auto run = [&] {
    const AttentionArgs args{.segments = segments, .scale = static_cast<float>(kScale), .sample_ids = {}};
    attention_forward(ctx, o.gpu(), lse.gpu(), q.gpu(), k.gpu(), v.gpu(), args);
    attention_backward(ctx, gradients[0]->gpu(), gradients[1]->gpu(), gradients[2]->gpu(), d_o.gpu(), q.gpu(), k.gpu(),
                       v.gpu(), o.gpu(), lse.gpu(), args);
  };
  run();
  std::vector<std::string> plain;
  for (Twin* t : gradients) {
    plain.push_back(t->download());
    t->upload();
  }
  const CudaGraphPtr graph = cuda_capture(*ctx.cuda, run);
  if (graph == nullptr) GTEST_SKIP() << "not noted: a cuDNN that reads beyond the keys, or none";
  for (int repeat = 0; repeat < 3; ++repeat) cuda_replay(*ctx.cuda, *graph);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(gradients[i]->download() == plain[i]) << "gradient " << i;
}

INSTANTIATE_TEST_SUITE_P(, CudaAttentionBugs, ::testing::Values(DType::bf16, DType::f16), dtype_test_name);

}  // namespace
}  // namespace trireme
