#include "params/param_store.h"

#include <algorithm>

namespace trireme {

UnitRing::UnitRing(const std::string& name, const ModelLayout& layout, DType dtype, Device device) : dtype_(dtype) {
  size_t needed = 1;
  for (const UnitLayout& unit : layout.units) needed = std::max(needed, unit.needs.size());
  for (size_t i = 0; i < needed + 1; ++i)  // one more, so that the next unit can come while one is in use
    entries_.push_back({Buffer(cat(name, " ring ", i), device, layout.largest_unit() * dtype_size(dtype))});
}

Tensor UnitRing::hold(int unit, int64_t numel, bool& fresh) {
  auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.unit == unit; });
  fresh = entry == entries_.end();
  if (fresh) {
    entry = std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return e.holders == 0; });
    CHECK(entry != entries_.end(), "all ", entries_.size(), " unit buffers are in use");
    entry->unit = unit;
  }
  ++entry->holders;
  return entry->buffer.view(dtype_, {numel});
}

void UnitRing::drop(int unit) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.unit == unit; });
  CHECK(entry != entries_.end() && entry->holders > 0, "unit ", unit, " released but not acquired");
  --entry->holders;
}

void UnitRing::invalidate() {
  for (Entry& e : entries_) {
    CHECK(e.holders == 0, "unit ", e.unit, " is in use while its values change");
    e.unit = -1;
  }
}

int64_t UnitRing::bytes() const {
  int64_t sum = 0;
  for (const Entry& e : entries_) sum += e.buffer.bytes();
  return sum;
}

ParamStore::ParamStore(ParamTable& table, const ModelLayout& layout, DType dtype, Device device, Group& replicas,
                       Group* fetch)
    : table_(table), layout_(layout), dtype_(dtype), replicas_(replicas) {
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int64_t numel = sharded() ? layout.shard(static_cast<int>(u)).size() : layout.units[u].numel;
    buffers_.emplace_back(cat("parameters of unit ", u), device, numel * dtype_size(dtype));
  }
  bind_largest(device);
  if (sharded()) {
    ring_ = UnitRing("parameter", layout, dtype, device);
    fetched_.reserve(Fetcher::kMost);
    if (fetch != nullptr && replicas.size() > 1 && device.kind != DeviceKind::meta) {
      CHECK(fetch->size() == replicas.size(), "a group of ", fetch->size(), " to fetch from ", replicas.size());
      fetcher_.emplace(*fetch);
    }
    return;
  }
  for (size_t u = 0; u < layout.units.size(); ++u)
    if (layout.units[u].numel > 0) bind(static_cast<int>(u), buffers_[u].view(dtype, {layout.units[u].numel}));
}

void ParamStore::bind_largest(Device device) {
  const auto count = std::count_if(table_.begin(), table_.end(), [](const Param& p) { return p.spec.measured; });
  largest_ = Buffer("largest magnitudes", device, count * dtype_size(DType::f32));
  int64_t offset = 0;
  for (Param& param : table_) {
    if (!param.spec.measured) continue;
    param.largest = largest_.view(DType::f32, {1}, offset);
    offset += dtype_size(DType::f32);
  }
}

void ParamStore::bind(int unit, const Tensor& flat) {
  for (const ParamPlace& place : layout_.units[static_cast<size_t>(unit)].places) {
    Param& param = *place.param;
    param.value = flat.slice(0, place.offset, place.offset + param.local_shape.numel()).reshape(param.local_shape);
    for (Param& other : table_)
      if (other.spec.tied_to == param.spec.name) other.value = param.value;
  }
}

Tensor ParamStore::own_part(int unit) const {
  return buffers_[static_cast<size_t>(unit)].view(dtype_, {layout_.shard(unit).size()});
}

/// Whether the fetcher was asked for this unit; then it is there now, and held as by hold().
bool ParamStore::take_fetched(int unit) {
  const auto found = std::find(fetched_.begin(), fetched_.end(), unit);
  if (found == fetched_.end()) return false;
  fetched_.erase(found);
  fetcher_->wait();
  return true;
}

void ParamStore::acquire(int unit, bool measured) {
  for (const ParamPlace& place : layout_.units[static_cast<size_t>(unit)].places) place.param->is_measured = measured;
  if (!sharded()) return;
  for (const int u : layout_.units[static_cast<size_t>(unit)].needs) {
    bool fresh = false;
    const Tensor flat = ring_.hold(u, layout_.units[static_cast<size_t>(u)].numel, fresh);
    if (take_fetched(u))
      ring_.drop(u);
    else if (fresh)
      replicas_.all_gather(flat, own_part(u));
    else
      continue;
    bind(u, flat);
  }
}

void ParamStore::prefetch(int unit) {
  if (!fetcher_) return;
  for (const int u : layout_.units[static_cast<size_t>(unit)].needs) {
    bool fresh = false;
    const Tensor flat = ring_.hold(u, layout_.units[static_cast<size_t>(u)].numel, fresh);
    if (!fresh) {
      ring_.drop(u);
      continue;
    }
    fetched_.push_back(u);
    fetcher_->start(flat, own_part(u));
  }
}

void ParamStore::release(int unit) {
  if (!sharded()) return;
  for (const int u : layout_.units[static_cast<size_t>(unit)].needs) ring_.drop(u);
}

Tensor ParamStore::optimizer_view(int unit) const {
  const Buffer& buffer = buffers_[static_cast<size_t>(unit)];
  const FlatRange range = layout_.optimizer_range(unit);
  return buffer.view(dtype_, {range.size()}, sharded() ? 0 : range.begin * dtype_size(dtype_));
}

void ParamStore::updated() {
  if (sharded()) {
    ring_.invalidate();
    return;
  }
  if (layout_.zero_stage == 0 || replicas_.size() == 1) return;
  for (size_t u = 0; u < buffers_.size(); ++u)
    if (layout_.units[u].numel > 0)
      replicas_.all_gather(buffers_[u].view(dtype_, {layout_.units[u].numel}), optimizer_view(static_cast<int>(u)));
}

void ParamStore::assign(FunctionRef<void(Param&)> fill) {
  for (size_t u = 0; u < buffers_.size(); ++u) {
    const UnitLayout& unit = layout_.units[u];
    if (unit.numel == 0) continue;
    if (sharded()) {
      // Every rank makes the whole unit and keeps its part.
      bool fresh = false;
      const Tensor flat = ring_.hold(static_cast<int>(u), unit.numel, fresh);
      bind(static_cast<int>(u), flat);
      for (const ParamPlace& place : unit.places) fill(*place.param);
      const FlatRange part = layout_.shard(static_cast<int>(u));
      const Tensor mine = flat.slice(0, part.begin, part.end);
      copy_memory(mine.device, buffers_[u].data(), mine.device, mine.data, mine.bytes());
      ring_.drop(static_cast<int>(u));
    } else {
      for (const ParamPlace& place : unit.places) fill(*place.param);
    }
  }
  if (sharded()) ring_.invalidate();
}

int64_t ParamStore::bytes() const {
  int64_t sum = ring_.bytes() + largest_.bytes();
  for (const Buffer& b : buffers_) sum += b.bytes();
  return sum;
}

}  // namespace trireme
