#include "comm/group.h"

#include <algorithm>
#include <exception>

#include "device/memory.h"

namespace trireme {
namespace {
void move(const Tensor& out, const Tensor& in) {
  CHECK(out.bytes() == in.bytes(), out.str(), " from ", in.str());
  if (out.data != in.data) copy_memory(out.device, out.data, in.device, in.data, in.bytes());
}
}  // namespace

std::string broadcast_text(Group& group, const std::string& text, int root) {
  int64_t size = static_cast<int64_t>(text.size());
  group.broadcast(Tensor(&size, DType::i64, kCpu, {1}), root);
  std::string all = text;
  all.resize(static_cast<size_t>(size));
  if (size > 0) group.broadcast(Tensor(all.data(), DType::u8, kCpu, {size}), root);
  return all;
}

std::vector<std::string> gather_texts(Group& group, const std::string& text) {
  const auto members = static_cast<size_t>(group.size());
  int64_t size = static_cast<int64_t>(text.size());
  std::vector<int64_t> sizes(members);
  group.all_gather(Tensor(sizes.data(), DType::i64, kCpu, {group.size()}), Tensor(&size, DType::i64, kCpu, {1}));
  const int64_t longest = *std::max_element(sizes.begin(), sizes.end());
  std::string own = text, all(members * static_cast<size_t>(longest), '\0');
  own.resize(static_cast<size_t>(longest));
  if (longest > 0)
    group.all_gather(Tensor(all.data(), DType::u8, kCpu, {group.size() * longest}),
                     Tensor(own.data(), DType::u8, kCpu, {longest}));
  std::vector<std::string> texts;
  for (size_t r = 0; r < members; ++r)
    texts.push_back(all.substr(r * static_cast<size_t>(longest), static_cast<size_t>(sizes[r])));
  return texts;
}

void do_together(Group& group, const std::function<void()>& work) {
  std::exception_ptr error;
  std::string text;
  try {
    work();
  } catch (const PeerError&) {
    throw;
  } catch (const std::exception& e) {
    error = std::current_exception();
    text = e.what();
  }
  const double failed = group.all_reduce(error ? static_cast<double>(group.rank()) : -1.0, ReduceOp::max);
  if (failed < 0) return;
  text = broadcast_text(group, text, static_cast<int>(failed));
  if (error) std::rethrow_exception(error);
  throw IoError(cat("on rank ", failed, ": ", text));
}

void SingleGroup::all_gather(Tensor out, const Tensor& in) { move(out, in); }
void SingleGroup::reduce_scatter(Tensor out, const Tensor& in) { move(out, in); }
void SingleGroup::send(const Tensor&, int) { CHECK(false, "a group of one has nobody to send to"); }
void SingleGroup::recv(Tensor, int) { CHECK(false, "a group of one has nobody to receive from"); }

}  // namespace trireme
