#include "checkpoint/block_file.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/numeric.h"

namespace trireme {

namespace {

/// Empty where the size is right.
std::string wrong_size(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record) {
  if (bytes.size() == record.size) return "";
  return cat(path, ": expected ", record.size, " bytes, found ", bytes.size(), "; the file is ",
             bytes.size() < record.size ? "cut short" : "too long");
}

void check_size(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record) {
  if (const std::string wrong = wrong_size(bytes, path, record); !wrong.empty()) throw IoError(wrong);
}

uint64_t begin_of(size_t block) { return block * kBlockBytes; }

std::span<const std::byte> block_of(std::span<const std::byte> bytes, size_t b) {
  return bytes.subspan(begin_of(b), std::min<uint64_t>(kBlockBytes, bytes.size() - begin_of(b)));
}

/// Blocks [first, end) are not what they were; `what` they hold.
std::string damaged(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record, size_t first,
                    size_t end, const std::string& what) {
  return cat(path, ": bytes ", begin_of(first), " to ", std::min<uint64_t>(begin_of(end), bytes.size()), what,
             " are damaged: expected XXH3 ", hex(record.blocks[first]), ", found ", hex(hash64(block_of(bytes, first))),
             end - first > 1 ? " in the first of these blocks" : "");
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

std::vector<std::string> damage_of_blocks(std::span<const std::byte> bytes, const std::string& path,
                                          const FileRecord& record, ThreadPool* pool, const DescribeBytes& describe) {
  if (std::string wrong = wrong_size(bytes, path, record); !wrong.empty()) return {std::move(wrong)};
  const size_t num_blocks = record.blocks.size();
  std::vector<uint8_t> bad(num_blocks, 0);
  const auto check = [&](int64_t begin, int64_t end, int) {
    for (size_t b = static_cast<size_t>(begin); b < static_cast<size_t>(end); ++b)
      bad[b] = hash64(block_of(bytes, b)) != record.blocks[b];
  };
  if (pool != nullptr)
    pool->parallel_for(static_cast<int64_t>(num_blocks), 1, check);
  else
    check(0, static_cast<int64_t>(num_blocks), 0);

  std::vector<std::string> texts;
  for (size_t first = 0; first < num_blocks; ++first) {
    size_t end = first;
    while (end < num_blocks && bad[end] != 0) ++end;
    if (end == first) continue;
    const uint64_t last_byte = std::min<uint64_t>(begin_of(end), bytes.size());
    texts.push_back(damaged(bytes, path, record, first, end, describe(begin_of(first), last_byte)));
    if (num_blocks > 1 && end - first == num_blocks)
      texts.back() += "; no block is as it was, so this may be another checkpoint's file";
    first = end;
  }
  return texts;
}

void check_blocks(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record, ThreadPool* pool,
                  const DescribeBytes& describe) {
  const std::vector<std::string> texts = damage_of_blocks(bytes, path, record, pool, describe);
  if (!texts.empty()) throw IoError(texts[0]);
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
    const std::span<const std::byte> block = block_of(bytes_, b);
    if (hash64(block) != record_.blocks[b])
      throw IoError(damaged(bytes_, path_, record_, b, b + 1, cat(" (tensor ", name, ")")));
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
