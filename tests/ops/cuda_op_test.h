// For tests of CUDA kernels against the CPU's: twin tensors, one on each side, and a scene that runs an op on both.
//
// The CPU's twin holds the same values in f32 (or in the same type), so that it rounds nothing into storage. The GPU
// runs twice from the same memory: every byte, padding included, must come out equal, and the padding untouched.
#pragma once

#include <deque>
#include <functional>
#include <optional>

#include "device/cuda.h"
#include "ops/op_test.h"
#include "tensor/buffer.h"

namespace trireme::testing {

constexpr Device kGpu{DeviceKind::cuda, 0};

/// A context on the first GPU.
class GpuContext {
 public:
  GpuContext() : cuda_(make_cuda_context(kGpu)), temp_("temp", kGpu, int64_t{96} << 20) {
    temp_.set_poison(true);
    ctx_.device = kGpu;
    ctx_.backend = DeviceKind::cuda;
    ctx_.cuda = cuda_.get();
    ctx_.temp = &temp_;
  }
  Ctx& ctx() { return ctx_; }

 private:
  CudaContextPtr cuda_;
  Arena temp_;
  Ctx ctx_;
};

/// A tensor on the GPU whose memory, padding included, is a copy of an Owned's.
class Twin {
 public:
  /// `reference`: the type of the CPU's twin.
  Twin(DType dtype, const Shape& shape, const Doubles& values, int64_t pad, DType reference)
      : host_(dtype, shape, values, pad), cpu_(reference, shape, host_.values(), pad) {
    start_ = host_.bytes();
    memory_ = Buffer("twin", kGpu, static_cast<int64_t>(start_.size()));
    upload();
  }
  Tensor cpu() const { return cpu_.t; }
  Tensor gpu() const {
    Tensor t = host_.t;
    t.data = memory_.data();
    t.device = kGpu;
    return t;
  }
  /// The GPU's memory as it was before the first run.
  void upload() { copy_memory(kGpu, memory_.data(), kCpu, start_.data(), memory_.bytes()); }
  /// The GPU's memory now; values() below see it.
  std::string download() {
    copy_memory(kCpu, host_.t.data, kGpu, memory_.data(), memory_.bytes());
    return host_.bytes();
  }
  Doubles want() const { return cpu_.values(); }
  Doubles got() const { return host_.values(); }
  bool padding_intact() const { return host_.padding_intact(); }
  bool same_bits() const { return host_.same_bits(cpu_); }

 private:
  Owned host_, cpu_;
  std::string start_;
  Buffer memory_;
};

/// One side of a scene: its context, and its twin of each tensor.
class Side {
 public:
  Side(Ctx& context, bool gpu) : ctx(context), gpu_(gpu) {}
  Tensor operator()(const Twin& twin) const { return gpu_ ? twin.gpu() : twin.cpu(); }
  bool gpu() const { return gpu_; }
  Ctx& ctx;

 private:
  bool gpu_;
};

class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
    gpu_.emplace();
  }
  void set_up_both(const std::function<void(Ctx&)>& change) {
    change(cpu_.ctx());
    change(gpu_->ctx());
  }
  Ctx& gpu() { return gpu_->ctx(); }

  /// Values for both sides, as f32 on the CPU's.
  Twin& twin(DType dtype, const Shape& shape, const Doubles& values, int64_t pad = 0) {
    return twins_.emplace_back(dtype, shape, values, pad, is_floating(dtype) ? DType::f32 : dtype);
  }
  Twin& same_type_twin(DType dtype, const Shape& shape, const Doubles& values, int64_t pad = 0) {
    return twins_.emplace_back(dtype, shape, values, pad, dtype);
  }
  /// An output: NaN everywhere until it is written.
  Twin& blank(DType dtype, const Shape& shape, int64_t pad = 0) {
    return twin(dtype, shape, Doubles(static_cast<size_t>(shape.numel()), NAN), pad);
  }
  void forget() { twins_.clear(); }

  /// run(side) once on each, for what need not repeat to the bit.
  template <class Run>
  void run_once(Run run) {
    run(Side(cpu_.ctx(), false));
    run(Side(gpu_->ctx(), true));
    for (Twin& t : twins_) {
      t.download();
      EXPECT_TRUE(t.padding_intact());
    }
  }

  /// run(side) on the CPU once and on the GPU twice.
  template <class Run>
  void run_both(Run run) {
    run(Side(cpu_.ctx(), false));
    run(Side(gpu_->ctx(), true));
    std::vector<std::string> first;
    for (Twin& t : twins_) {
      first.push_back(t.download());
      EXPECT_TRUE(t.padding_intact());
      t.upload();
    }
    run(Side(gpu_->ctx(), true));
    for (size_t i = 0; i < twins_.size(); ++i) EXPECT_TRUE(twins_[i].download() == first[i]) << "tensor " << i;
  }

 private:
  OpContext cpu_;
  std::optional<GpuContext> gpu_;
  std::deque<Twin> twins_;
};

class CudaTypes : public CudaTest, public ::testing::WithParamInterface<DType> {
 protected:
  DType dtype() const { return GetParam(); }
};

/// Both sides' values within relative * |CPU's| + absolute.
inline void expect_twins_close(const Twin& t, double relative, double absolute, const char* what) {
  expect_close(t.got(), t.want(), relative, absolute, what);
}

}  // namespace trireme::testing
