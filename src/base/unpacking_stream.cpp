#include "base/unpacking_stream.h"

#include <algorithm>

#include "base/error.h"

namespace trireme {

size_t UnpackingStream::read(std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    if (left_.empty()) left_ = std::span<const std::byte>(input_).first(packed_->read(input_));
    const bool at_end = left_.empty();
    const size_t before = left_.size(), got = unpack(out.subspan(done), left_);
    taken_ += before - left_.size();
    done += got;
    if (at_end && got == 0) break;
  }
  position_ += done;
  return done;
}

void UnpackingStream::seek(uint64_t position) {
  if (position < position_) {
    restart();
    packed_->seek(0);
    left_ = {};
    position_ = taken_ = 0;
  }
  std::vector<std::byte> thrown_away(kInputBytes);
  while (position_ < position) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(thrown_away.size(), position - position_));
    if (read(std::span(thrown_away).first(n)) == 0) return;
  }
}

void UnpackingStream::fail(const std::string& detail) const {
  throw IoError(cat(name(), ": byte ", taken_, ": ", detail, "; make or copy the file again"));
}

}  // namespace trireme
