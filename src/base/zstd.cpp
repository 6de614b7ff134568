// zstd, which is seen nowhere else.
#include <zstd.h>

#include "base/error.h"
#include "base/unpacking_stream.h"

namespace trireme {
namespace {

struct FreeContext {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

class ZstdStream final : public UnpackingStream {
 public:
  using UnpackingStream::UnpackingStream;

 protected:
  size_t unpack(std::span<std::byte> out, std::span<const std::byte>& input) override {
    CHECK(context_ != nullptr, "ZSTD_createDCtx");
    ZSTD_inBuffer from{input.data(), input.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const bool at_end = input.empty();
    if (at_end && between_) return 0;
    // What an earlier call had no room for comes out without input.
    const size_t code = ZSTD_decompressStream(context_.get(), &to, &from);
    if (ZSTD_isError(code)) fail(cat("no zstd data: ", ZSTD_getErrorName(code)));
    input = input.subspan(from.pos);
    between_ = code == 0;
    if (at_end && to.pos == 0 && !between_) fail("the file ends within its packed data");
    return to.pos;
  }
  void restart() override {
    ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only);
    between_ = false;
  }

 private:
  std::unique_ptr<ZSTD_DCtx, FreeContext> context_{ZSTD_createDCtx()};
  bool between_ = false;  // behind a frame
};

}  // namespace

std::unique_ptr<ByteStream> unpack_zstd(std::unique_ptr<ByteStream> packed) {
  return std::make_unique<ZstdStream>(std::move(packed));
}

bool unzstd_block(std::span<std::byte> out, std::span<const std::byte> packed) {
  return ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size()) == out.size();
}

}  // namespace trireme
