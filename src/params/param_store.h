// Owns the parameters' values. Resident ones are bound for good; under ZeRO-3 a rank keeps its shard of each unit and
// acquire() gathers the whole into a ring of buffers, from which release() lets it go. What prefetch() asked for comes
// meanwhile.
#pragma once

#include <optional>
#include <vector>

#include "params/fetcher.h"
#include "params/layout.h"
#include "tensor/buffer.h"
#include "tensor/ctx.h"

namespace trireme {

/// Buffers that hold whole units for a while; which one holds which unit, and who still uses it.
class UnitRing {
 public:
  UnitRing() = default;
  UnitRing(const std::string& name, const ModelLayout& layout, DType dtype, Device device);

  /// The buffer of `unit`; `fresh` tells that it did not hold that unit's content yet.
  Tensor hold(int unit, int64_t numel, bool& fresh);
  void drop(int unit);
  /// Forgets every content: values have changed. No unit may be held.
  void invalidate();
  int64_t bytes() const;

 private:
  struct Entry {
    Buffer buffer;
    int unit = -1;
    int holders = 0;
  };
  DType dtype_ = DType::f32;
  std::vector<Entry> entries_;
};

class ParamStore {
 public:
  /// `dtype`: how values are stored. On the meta device nothing is allocated. `replicas`: as of the layout. `fetch`:
  /// the same ranks on channels of their own, for prefetch(); null: that does nothing.
  ParamStore(ParamTable& table, const ModelLayout& layout, DType dtype, Device device, Group& replicas,
             Group* fetch = nullptr);

  /// Binds the values of the unit's parameters until release. Calls nest and may be repeated. `measured`: since they
  /// changed, somebody had them who measures what is to be.
  void acquire(int unit, bool measured = false);
  void release(int unit);
  /// The unit will be acquired next: its gathering begins. It must be acquired before updated().
  void prefetch(int unit);

  /// This rank's optimizer range of the unit, in storage dtype: what the optimizer writes.
  Tensor optimizer_view(int unit) const;
  /// To be called when every optimizer_view has been written: other ranks' parts become visible.
  void updated();
  /// The values of every local parameter are set through `fill`, unit by unit, then spread as by updated().
  void assign(FunctionRef<void(Param&)> fill);

  bool sharded() const { return layout_.zero_stage >= 3; }
  DType dtype() const { return dtype_; }
  int64_t bytes() const;

 private:
  void bind_largest(Device device);
  void bind(int unit, const Tensor& flat);
  Tensor own_part(int unit) const;
  bool take_fetched(int unit);

  ParamTable& table_;
  const ModelLayout& layout_;
  DType dtype_;
  Group& replicas_;
  std::vector<Buffer> buffers_;  // by unit: the whole, or this rank's shard
  Buffer largest_;               // of the parameters that are measured
  UnitRing ring_;
  std::vector<int> fetched_;        // units that the fetcher was asked for and nobody has acquired since
  std::optional<Fetcher> fetcher_;  // last: it writes into the ring
};

}  // namespace trireme
