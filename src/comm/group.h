// Process groups: collectives over one axis of the mesh. They take tensors, never byte counts. Every call is
// blocking, made by all members in the same order, and returns at once for meta tensors (a plan run talks to nobody).
// A group of one moves nothing. Sums are taken in rank order, so results repeat bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace trireme {

/// Another rank failed, and this one cannot go on without it. The text names that rank where it is known.
class PeerError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

enum class ReduceOp : uint8_t { sum, max };

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// t on every member becomes the reduction of all. Contiguous f32 or f64.
  virtual void all_reduce(Tensor t, ReduceOp op) = 0;
  /// out (size * n) = the members' in (n), in rank order. Contiguous, any dtype; in may be out's own part.
  virtual void all_gather(Tensor out, const Tensor& in) = 0;
  /// out (n) = this rank's part of the sum of the members' in (size * n). Contiguous f32; out may be in's own part.
  virtual void reduce_scatter(Tensor out, const Tensor& in) = 0;
  /// t of `root` on every member.
  virtual void broadcast(Tensor t, int root) = 0;
  /// To and from a member; a send returns when `t` may be reused.
  virtual void send(const Tensor& t, int to) = 0;
  virtual void recv(Tensor t, int from) = 0;
  virtual void barrier() = 0;
  /// Makes every waiting and later call of every member throw, so that no rank waits for a failed one.
  virtual void abort() noexcept = 0;

  /// The sum (or maximum) over the members of one value each.
  double all_reduce(double value, ReduceOp op) {
    all_reduce(Tensor(&value, DType::f64, kCpu, {1}), op);
    return value;
  }
};

/// `text` of `root`, on every member.
std::string broadcast_text(Group& group, const std::string& text, int root);
/// The members' texts, by rank, on every member.
std::vector<std::string> gather_texts(Group& group, const std::string& text);
/// Each member does `work`. Where it fails on any, all throw: a member whose own failed that error, the others an
/// IoError with its text.
void do_together(Group& group, const std::function<void()>& work);

/// A group of one.
class SingleGroup final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(Tensor, ReduceOp) override {}
  void all_gather(Tensor out, const Tensor& in) override;
  void reduce_scatter(Tensor out, const Tensor& in) override;
  void broadcast(Tensor, int) override {}
  void send(const Tensor&, int) override;
  void recv(Tensor, int) override;
  void barrier() override {}
  void abort() noexcept override {}
};

/// A place in a group that is not there: to plan a rank's step without the others. Only meta tensors pass.
class PlanGroup final : public Group {
 public:
  PlanGroup(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(Tensor t, ReduceOp) override { check(t); }
  void all_gather(Tensor, const Tensor& in) override { check(in); }
  void reduce_scatter(Tensor, const Tensor& in) override { check(in); }
  void broadcast(Tensor t, int) override { check(t); }
  void send(const Tensor& t, int) override { check(t); }
  void recv(Tensor t, int) override { check(t); }
  void barrier() override {}
  void abort() noexcept override {}

 private:
  static void check(const Tensor& t) { CHECK(t.device.kind == DeviceKind::meta, t.str(), " in a group for planning"); }
  int rank_, size_;
};

}  // namespace trireme
