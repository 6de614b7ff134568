#include "checkpoint/block_file.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/numeric.h"

namespace trireme {

namespace {

void check_size(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record) {
  if (bytes.size() != record.size)
    throw IoError(cat(path, ": expected ", record.size, " bytes, found ", bytes.size(), "; the file is ",
                      bytes.size() < record.size ? "cut short" : "too long"));
}

std::span<const std::byte> block_of(std::span<const std::byte> bytes, int64_t b) {
  const uint64_t begin = static_cast<uint64_t>(b) * kBlockBytes;
  return bytes.subspan(begin, std::min<uint64_t>(kBlockBytes, bytes.size() - begin));
}

[[noreturn]] void throw_damaged(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record,
                                int64_t b, const std::string& what) {
  const std::span<const std::byte> block = block_of(bytes, b);
  const uint64_t begin = static_cast<uint64_t>(b) * kBlockBytes;
  throw IoError(cat(path, ": bytes ", begin, " to ", begin + block.size(), what, " are damaged: expected XXH3 ",
                    hex(record.blocks[static_cast<size_t>(b)]), ", found ", hex(hash64(block))));
}

}  // namespace

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
  check_size(bytes, path, record);
  const int64_t num_blocks = static_cast<int64_t>(record.blocks.size());
  std::atomic<int64_t> first_bad{num_blocks};
  const auto check = [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      if (hash64(block_of(bytes, b)) == record.blocks[static_cast<size_t>(b)]) continue;
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
  throw_damaged(bytes, path, record, first_bad, describe(begin, begin + block_of(bytes, first_bad).size()));
}

LazyBlocks::LazyBlocks(std::span<const std::byte> bytes, std::string path, const FileRecord& record)
    : bytes_(bytes), path_(std::move(path)), record_(record), checked_(record.blocks.size(), false) {
  check_size(bytes_, path_, record_);
}

void LazyBlocks::require(uint64_t begin, uint64_t end, std::string_view name) {
  for (uint64_t b = begin / kBlockBytes; b * kBlockBytes < end; ++b) {
    {
      const std::lock_guard lock(mutex_);
      if (checked_[b]) continue;
    }
    const std::span<const std::byte> block = block_of(bytes_, static_cast<int64_t>(b));
    if (hash64(block) != record_.blocks[b])
      throw_damaged(bytes_, path_, record_, static_cast<int64_t>(b), cat(" (tensor ", name, ")"));
    const std::lock_guard lock(mutex_);
    if (!checked_[b]) count_.checked += block.size();
    checked_[b] = true;
  }
  const std::lock_guard lock(mutex_);
  count_.used += end - begin;
}

ReadCount LazyBlocks::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

}  // namespace trireme
