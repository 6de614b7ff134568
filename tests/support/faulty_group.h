// A process group with one chosen fault, to see whether tests notice it.
#pragma once

#include <algorithm>
#include <cstddef>

#include "comm/group.h"

namespace trireme::testing {

/// What goes wrong, in calls counted from 0 by each rank alike.
struct Fault {
  int skipped_sum = -1;         // this all_reduce of floats does nothing
  int skipped_size = -1;        // each all_reduce of so many floats does nothing
  int doubled_scalar = -1;      // n: the first rank's part of every (n + 1)-th all_reduce of one double counts twice
  bool averages = false;        // reduce_scatter and all_reduce of floats give means in place of sums
  bool shifted_gather = false;  // all_gather hands every rank's part to the next place
};

class FaultyGroup final : public Group {
 public:
  FaultyGroup(Group& inner, const Fault& fault) : inner_(inner), fault_(fault) {}

  using Group::all_reduce;
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_reduce(Tensor t, ReduceOp op) override {
    if (t.device.kind == DeviceKind::meta) return;
    if (t.dtype == DType::f64) {
      if (fault_.doubled_scalar >= 0 && scalars_++ % (fault_.doubled_scalar + 1) == fault_.doubled_scalar &&
          rank() == 0)
        *t.as<double>() *= 2;
    } else if (sums_++ == fault_.skipped_sum || t.numel() == fault_.skipped_size) {
      return;
    }
    inner_.all_reduce(t, op);
    if (fault_.averages && t.dtype == DType::f32 && op == ReduceOp::sum) divide(t);
  }
  void all_gather(Tensor out, const Tensor& in) override {
    inner_.all_gather(out, in);
    if (!fault_.shifted_gather || out.device.kind == DeviceKind::meta) return;
    inner_.barrier();
    auto* bytes = static_cast<std::byte*>(out.data);
    std::rotate(bytes, bytes + in.bytes(), bytes + out.bytes());
    inner_.barrier();
  }
  void reduce_scatter(Tensor out, const Tensor& in) override {
    inner_.reduce_scatter(out, in);
    if (fault_.averages && out.device.kind != DeviceKind::meta) divide(out);
  }
  void broadcast(Tensor t, int root) override { inner_.broadcast(t, root); }
  void send(const Tensor& t, int to) override { inner_.send(t, to); }
  void recv(Tensor t, int from) override { inner_.recv(t, from); }
  void barrier() override { inner_.barrier(); }
  void abort() noexcept override { inner_.abort(); }

 private:
  void divide(const Tensor& t) const {
    for (int64_t i = 0; i < t.numel(); ++i) t.f32()[i] /= static_cast<float>(size());
  }
  Group& inner_;
  Fault fault_;
  int sums_ = 0, scalars_ = 0;
};

}  // namespace trireme::testing
