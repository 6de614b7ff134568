#include "base/byte_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace trireme {
namespace {

[[noreturn]] void fail(const char* call, const std::string& path) {
  throw IoError(cat(call, " ", path, ": ", std::generic_category().message(errno)));
}

class FileStream final : public ByteStream {
 public:
  explicit FileStream(std::string path) : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) fail("open", path_);
  }
  ~FileStream() override { ::close(fd_); }
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;

  size_t read(std::span<std::byte> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(position_));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("read", path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
      position_ += static_cast<uint64_t>(got);
    }
    return done;
  }
  void seek(uint64_t position) override { position_ = position; }
  uint64_t file_position(uint64_t position) const override { return position; }
  uint64_t file_bytes() const override { return file_size(path_); }
  const std::string& name() const override { return path_; }

 private:
  std::string path_;
  int fd_;
  uint64_t position_ = 0;
};

class MemoryStream final : public ByteStream {
 public:
  MemoryStream(std::string_view bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  size_t read(std::span<std::byte> out) override {
    const size_t n = std::min(out.size(), bytes_.size() - position_);
    if (n > 0) std::memcpy(out.data(), bytes_.data() + position_, n);
    position_ += n;
    return n;
  }
  void seek(uint64_t position) override {
    position_ = static_cast<size_t>(std::min<uint64_t>(position, bytes_.size()));
  }
  uint64_t file_position(uint64_t position) const override { return position; }
  uint64_t file_bytes() const override { return bytes_.size(); }
  const std::string& name() const override { return name_; }

 private:
  std::string_view bytes_;
  std::string name_;
  size_t position_ = 0;
};

}  // namespace

std::unique_ptr<ByteStream> open_file(const std::string& path) {
  file_size(path);  // refuses what is not a regular file
  return std::make_unique<FileStream>(path);
}

std::unique_ptr<ByteStream> memory_stream(std::string_view bytes, std::string name) {
  return std::make_unique<MemoryStream>(bytes, std::move(name));
}

}  // namespace trireme
