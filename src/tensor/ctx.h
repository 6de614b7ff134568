// What every op and layer receives: where it runs and where it may put things. Values only.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "tensor/arena.h"

namespace trireme {

/// What a run of ops costs, counted by the dispatchers (also on meta). A multiply-add is two FLOPs.
struct OpCount {
  double flops = 0;         // all ops
  double matmul_flops = 0;  // matrix products and attention
  double bytes = 0;         // read and written, each tensor once an op
  int64_t calls = 0;
};

class CudaContext;  // device/cuda.h

struct Ctx {
  Device device = kCpu;
  DeviceKind backend = DeviceKind::cpu;  // whose kernels run; on meta, those the plan is for: their scratch differs
  CudaContext* cuda = nullptr;           // of the GPU; on meta set where a plan builds for it what attention needs
  ThreadPool* pool = nullptr;            // null: one thread. Also set on meta, where only its size matters
  Arena* keep = nullptr;                 // what a unit saves for its backward
  Arena* temp = nullptr;                 // scratch of the enclosing call
  OpCount* count = nullptr;              // null: do not count
  uint64_t seed = 0;                     // of dropout
  int64_t step = 0;                      // optimizer step, from 0: part of every dropout key
  double loss_scale = 1;                 // factor on the loss whose gradient is taken
  bool train = false;                    // dropout on
  bool deterministic = false;            // on a GPU: nothing chosen by trying, nothing added by atomics
  bool check_finite = false;             // TRIREME_NAN: name the first op that makes a NaN or Inf
  int64_t logit_rows = 512;              // tokens whose logits exist at once (layers/head.h)

  bool planning() const { return device.kind == DeviceKind::meta; }
};

}  // namespace trireme
