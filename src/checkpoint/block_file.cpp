#include "checkpoint/block_file.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/numeric.h"

namespace trireme {

uint64_t FileRecord::hash() const { return hash64(std::as_bytes(std::span(blocks)), size); }

BlockFile::BlockFile(const std::string& folder, std::string name, FileSystem& fs)
    : fs_(fs), path_(cat(folder, "/", name)), fd_(fs.create(path_)) {
  record_.name = std::move(name);
  buffer_.reserve(kBlockBytes);
}

BlockFile::~BlockFile() {
  try {
    if (fd_ >= 0) fs_.close(fd_, path_);
  } catch (const Error&) {  // the file is given up: what closing it says does not matter
  }
}

void BlockFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t taken = std::min(bytes.size(), kBlockBytes - buffer_.size());
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
    bytes = bytes.subspan(taken);
    if (buffer_.size() == kBlockBytes) flush();
  }
}

void BlockFile::flush() {
  record_.blocks.push_back(hash64(buffer_));
  fs_.write(fd_, buffer_, path_);
  record_.size += buffer_.size();
  buffer_.clear();
}

FileRecord BlockFile::finish() {
  if (!buffer_.empty()) flush();
  fs_.sync(fd_, path_);
  fs_.close(std::exchange(fd_, -1), path_);
  return std::move(record_);
}

void check_blocks(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record, ThreadPool* pool,
                  const std::function<std::string(uint64_t begin, uint64_t end)>& describe) {
  if (bytes.size() != record.size)
    throw IoError(cat(path, ": expected ", record.size, " bytes, found ", bytes.size(), "; the file is ",
                      bytes.size() < record.size ? "cut short" : "too long"));
  const int64_t num_blocks = static_cast<int64_t>(record.blocks.size());
  std::atomic<int64_t> first_bad{num_blocks};
  const auto block = [&](int64_t b) {
    const uint64_t begin = static_cast<uint64_t>(b) * kBlockBytes;
    return bytes.subspan(begin, std::min<uint64_t>(kBlockBytes, record.size - begin));
  };
  const auto check = [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      if (hash64(block(b)) == record.blocks[static_cast<size_t>(b)]) continue;
      for (int64_t seen = first_bad; b < seen && !first_bad.compare_exchange_weak(seen, b);) continue;
      return;
    }
  };
  if (pool != nullptr)
    pool->parallel_for(num_blocks, 1, check);
  else
    check(0, num_blocks, 0);
  if (first_bad == num_blocks) return;

  const uint64_t begin = static_cast<uint64_t>(first_bad.load()) * kBlockBytes;
  const uint64_t end = begin + block(first_bad).size();
  throw IoError(cat(path, ": bytes ", begin, " to ", end, describe(begin, end), " are damaged: expected XXH3 ",
                    hex(record.blocks[static_cast<size_t>(first_bad)]), ", found ", hex(hash64(block(first_bad)))));
}

}  // namespace trireme
