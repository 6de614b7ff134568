// zlib, which is seen nowhere else.
#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/unpacking_stream.h"

namespace trireme {
namespace {

constexpr int kGzip = 16 + MAX_WBITS, kRaw = -MAX_WBITS;

Bytef* in(std::span<const std::byte> bytes) {
  return reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // zlib does not write there
}
uInt length(size_t bytes) { return static_cast<uInt>(std::min<size_t>(bytes, std::numeric_limits<uInt>::max())); }

class Inflater {
 public:
  explicit Inflater(int format) { CHECK(inflateInit2(&state_, format) == Z_OK, "inflateInit2"); }
  ~Inflater() { inflateEnd(&state_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  void reset() { inflateReset(&state_); }
  const char* message() const { return state_.msg == nullptr ? "damaged data" : state_.msg; }

  /// zlib's code; both spans lose what was used of them.
  int run(std::span<std::byte>& out, std::span<const std::byte>& packed) {
    state_.next_in = in(packed);
    state_.avail_in = length(packed.size());
    state_.next_out = reinterpret_cast<Bytef*>(out.data());
    state_.avail_out = length(out.size());
    const uInt had = state_.avail_in, room = state_.avail_out;
    const int code = inflate(&state_, Z_NO_FLUSH);
    packed = packed.subspan(had - state_.avail_in);
    out = out.subspan(room - state_.avail_out);
    return code;
  }

 private:
  z_stream state_{};
};

class GzipStream final : public UnpackingStream {
 public:
  using UnpackingStream::UnpackingStream;

 protected:
  size_t unpack(std::span<std::byte> out, std::span<const std::byte>& input) override {
    const bool at_end = input.empty();
    if (at_end && between_) return 0;
    std::span<std::byte> rest = out;  // what an earlier call had no room for comes out without input
    const int code = inflater_.run(rest, input);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) fail(cat("no gzip data: ", inflater_.message()));
    between_ = code == Z_STREAM_END;
    if (between_) inflater_.reset();
    const size_t got = out.size() - rest.size();
    if (at_end && got == 0 && !between_) fail("the file ends within its packed data");
    return got;
  }
  void restart() override {
    inflater_.reset();
    between_ = false;
  }

 private:
  Inflater inflater_{kGzip};
  bool between_ = false;  // behind a member
};

}  // namespace

std::unique_ptr<ByteStream> unpack_gzip(std::unique_ptr<ByteStream> packed) {
  return std::make_unique<GzipStream>(std::move(packed));
}

bool inflate_block(std::span<std::byte> out, std::span<const std::byte> packed) {
  Inflater inflater(kRaw);
  int code = Z_OK;
  while (code == Z_OK) code = inflater.run(out, packed);
  return code == Z_STREAM_END && out.empty();
}

uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(crc32_z(0, in(bytes), bytes.size()));
}

}  // namespace trireme
