#include "comm/group.h"
#include "device/memory.h"

namespace trireme {
namespace {
void move(const Tensor& out, const Tensor& in) {
  CHECK(out.bytes() == in.bytes(), out.str(), " from ", in.str());
  if (out.data != in.data) copy_memory(out.device, out.data, in.device, in.data, in.bytes());
}
}  // namespace

void SingleGroup::all_gather(Tensor out, const Tensor& in) { move(out, in); }
void SingleGroup::reduce_scatter(Tensor out, const Tensor& in) { move(out, in); }
void SingleGroup::send(const Tensor&, int) { CHECK(false, "a group of one has nobody to send to"); }
void SingleGroup::recv(Tensor, int) { CHECK(false, "a group of one has nobody to receive from"); }

}  // namespace trireme
