// cuDNN's fused attention through its header-only front end. A graph is built once for each shape and kept in the
// context. Only what is known to be sound is asked for: a causal flag and no mask tensor.
#include "ops/cuda/cudnn_attention.h"

#include <cudnn_frontend.h>

#include <array>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "ops/cuda/cudnn_library.h"
#include "ops/cuda/launch.cuh"

namespace trireme::cuda {
namespace {

namespace fe = cudnn_frontend;
using Attributes = fe::graph::Tensor_attributes;

constexpr size_t kClearsWorkspace = 91800;  // older ones may read what they have not written
constexpr size_t kReplaysHalfTiles = 91501;

enum Uid : int64_t { kQ = 1, kK, kV, kO, kStats, kDo, kDq, kDk, kDv };

/// Everything a graph depends on: kind, sizes, type, strides, the bits of the scale.
using Key = std::array<int64_t, 24>;

struct Attention {
  fe::graph::Graph graph;
  int64_t workspace = 0;
  bool supported = false;
};

struct AttentionState final : CudaState {
  explicit AttentionState(cudaStream_t on) : stream(on) {
    if (const std::string problem = open(); !problem.empty()) {
      log_warn(cat("attention without cuDNN is slow: ", problem));
      if (handle != nullptr) cudnnDestroy(std::exchange(handle, nullptr));
      return;
    }
    log_info(cat("attention by cuDNN ", cudnnGetVersion() / 10000, ".", cudnnGetVersion() / 100 % 100));
  }
  ~AttentionState() override {
    attentions.clear();
    if (handle != nullptr) cudnnDestroy(handle);
  }
  cudaStream_t stream;
  cudnnHandle_t handle = nullptr;  // none where cuDNN cannot be used
  std::map<Key, Attention> attentions;

 private:
  /// Why cuDNN cannot be used: it, or a part of it that it opens itself, is missing; empty where it can.
  std::string open() {
    if (const std::string& problem = cudnn_library().problem(); !problem.empty()) return problem;
    cudnnStatus_t status = cudnnCreate(&handle);
    if (status != CUDNN_STATUS_SUCCESS) return cat("cudnnCreate: ", cudnnGetErrorString(status));
    status = cudnnSetStream(handle, stream);
    return status == CUDNN_STATUS_SUCCESS ? "" : cat("cudnnSetStream: ", cudnnGetErrorString(status));
  }
};

AttentionState& state_of(CudaContext& context) {
  if (context.attention_state == nullptr) context.attention_state = std::make_unique<AttentionState>(context.stream());
  return static_cast<AttentionState&>(*context.attention_state);
}

/// A graph under construction for sequences of one shape.
class Builder {
 public:
  Builder(Attention& out, EqualSequences sequences, DType dtype) : graph_(out.graph), s_(sequences) {
    graph_.set_io_data_type(dtype == DType::bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
  }

  /// (N, heads, D) as (sequence, head, position, channel).
  std::vector<int64_t> sizes(const Tensor& t) const { return {s_.count, t.size(1), s_.length, t.size(2)}; }
  std::vector<int64_t> strides(const Tensor& t) const { return {t.stride(0) * s_.length, t.stride(1), t.stride(0), 1}; }
  auto input(const char* name, Uid uid, const Tensor& t) {
    return graph_.tensor(Attributes().set_name(name).set_uid(uid).set_dim(sizes(t)).set_stride(strides(t)));
  }
  auto stats_input(const Tensor& t) {
    return graph_.tensor(Attributes()
                             .set_name("stats")
                             .set_uid(kStats)
                             .set_dim(stats_sizes(t))
                             .set_stride(stats_strides(t))
                             .set_data_type(fe::DataType_t::FLOAT));
  }
  void output(const std::shared_ptr<Attributes>& attributes, Uid uid, const Tensor& t) const {
    attributes->set_output(true).set_uid(uid).set_dim(sizes(t)).set_stride(strides(t));
  }
  void stats_output(const std::shared_ptr<Attributes>& attributes, const Tensor& t) const {
    attributes->set_output(true)
        .set_uid(kStats)
        .set_dim(stats_sizes(t))
        .set_stride(stats_strides(t))
        .set_data_type(fe::DataType_t::FLOAT);
  }
  fe::graph::Graph& graph() { return graph_; }

 private:
  static std::vector<int64_t> stats_sizes(const Tensor& t) { return {t.size(0), t.size(1), t.size(2), 1}; }
  static std::vector<int64_t> stats_strides(const Tensor& t) { return {t.stride(0), t.stride(1), 1, 1}; }
  fe::graph::Graph& graph_;
  EqualSequences s_;
};

/// Chooses and builds an engine. What cuDNN refuses is said once in the log, and our own kernels do it.
void finish(Attention& out, cudnnHandle_t handle, int64_t room, const char* what) {
  fe::graph::Graph& graph = out.graph;
  fe::error_t status = graph.validate();
  if (status.is_good()) status = graph.build_operation_graph(handle);
  if (status.is_good()) status = graph.create_execution_plans({fe::HeurMode_t::A});
  if (status.is_good()) status = graph.check_support(handle);
  if (status.is_good()) status = graph.build_plans(handle, fe::BuildPlanPolicy_t::HEURISTICS_CHOICE);
  if (status.is_good()) status = graph.get_workspace_size(out.workspace);
  if (status.is_bad())
    return log_warn(cat("cuDNN does not take ", what, ": ", status.get_message(), "; it will be slow"));
  out.supported = out.workspace <= room;
  if (!out.supported)
    log_warn(cat("cuDNN's ", what, " needs ", out.workspace, " bytes of workspace, the plan has ", room,
                 "; it will be slow"));
}

Key key_of(int64_t kind, EqualSequences s, std::initializer_list<const Tensor*> tensors, const Tensor& q,
           const Tensor& k, float scale) {
  Key key{};
  size_t i = 0;
  for (const int64_t v : {kind, s.count, s.length, q.size(1), k.size(1), q.size(2), static_cast<int64_t>(q.dtype),
                          static_cast<int64_t>(std::bit_cast<uint32_t>(scale))})
    key[i++] = v;
  for (const Tensor* t : tensors) {
    key[i++] = t->stride(0);
    key[i++] = t->stride(1);
  }
  return key;
}

void execute(AttentionState& state, const Attention& attention, std::unordered_map<int64_t, void*>& pointers,
             const Tensor& workspace, const char* what) {
  if (cudnnGetVersion() < kClearsWorkspace && attention.workspace > 0)
    check_cuda(cudaMemsetAsync(workspace.data, 0, static_cast<size_t>(attention.workspace), state.stream),
               "cudaMemsetAsync");
  fe::error_t status = attention.graph.execute(state.handle, pointers, workspace.data);
  if (status.is_bad()) throw DeviceError(cat("cuDNN's ", what, ": ", status.get_message()));
}

}  // namespace

bool cudnn_attention_forward(Ctx& ctx, const Tensor& o, const Tensor& stats, const Tensor& q, const Tensor& k,
                             const Tensor& v, const AttentionArgs& args, const Tensor& workspace) {
  const char* what = "attention forward";
  AttentionState& state = state_of(*ctx.cuda);
  if (state.handle == nullptr) return false;
  const EqualSequences sequences = equal_sequences(args, q.size(0), k.size(0));
  const auto [found, fresh] = state.attentions.try_emplace(key_of(0, sequences, {&q, &k, &v, &o}, q, k, args.scale));
  Attention& attention = found->second;
  if (fresh) {
    Builder b(attention, sequences, q.dtype);
    auto options = fe::graph::SDPA_attributes().set_name("forward").set_generate_stats(true).set_attn_scale(args.scale);
    options.set_causal_mask(true);
    const auto outputs = b.graph().sdpa(b.input("q", kQ, q), b.input("k", kK, k), b.input("v", kV, v), options);
    b.output(outputs[0], kO, o);
    b.stats_output(outputs[1], stats);
    finish(attention, state.handle, workspace.bytes(), what);
  }
  if (!attention.supported || ctx.planning()) return attention.supported;
  std::unordered_map<int64_t, void*> pointers{
      {kQ, q.data}, {kK, k.data}, {kV, v.data}, {kO, o.data}, {kStats, stats.data}};
  execute(state, attention, pointers, workspace, what);
  return true;
}

bool cudnn_attention_backward(Ctx& ctx, const AttentionGradients& g, const Tensor& stats, const AttentionArgs& args,
                              const Tensor& workspace) {
  const char* what = "attention backward";
  AttentionState& state = state_of(*ctx.cuda);
  if (state.handle == nullptr) return false;
  const EqualSequences sequences = equal_sequences(args, g.q.size(0), g.k.size(0));
  const auto [found, fresh] = state.attentions.try_emplace(
      key_of(1, sequences, {&g.q, &g.k, &g.v, &g.o, &g.d_o, &g.dq, &g.dk, &g.dv}, g.q, g.k, args.scale));
  Attention& attention = found->second;
  if (fresh) {
    Builder b(attention, sequences, g.q.dtype);
    auto options = fe::graph::SDPA_backward_attributes().set_name("backward").set_attn_scale(args.scale);
    options.set_causal_mask(true);
    if (ctx.deterministic) options.set_deterministic_algorithm(true);
    const auto outputs =
        b.graph().sdpa_backward(b.input("q", kQ, g.q), b.input("k", kK, g.k), b.input("v", kV, g.v),
                                b.input("o", kO, g.o), b.input("do", kDo, g.d_o), b.stats_input(stats), options);
    b.output(outputs[0], kDq, g.dq);
    b.output(outputs[1], kDk, g.dk);
    b.output(outputs[2], kDv, g.dv);
    finish(attention, state.handle, workspace.bytes(), what);
  }
  if (!attention.supported || ctx.planning()) return attention.supported;
  if (sequences.length % 128 != 0 && cudnnGetVersion() < kReplaysHalfTiles)
    refuse_to_repeat(ctx, "cuDNN before 9.15.1 reads beyond keys that are no whole tiles when it is replayed");
  std::unordered_map<int64_t, void*> pointers{{kQ, g.q.data},   {kK, g.k.data},    {kV, g.v.data},
                                              {kO, g.o.data},   {kDo, g.d_o.data}, {kDq, g.dq.data},
                                              {kDk, g.dk.data}, {kDv, g.dv.data},  {kStats, stats.data}};
  execute(state, attention, pointers, workspace, what);
  return true;
}

int64_t cudnn_attention_graphs(CudaContext& context) {
  return static_cast<int64_t>(state_of(context).attentions.size());
}

}  // namespace trireme::cuda
