// Files with checksums: XXH3-64 of every block of 1 MiB, made while the bytes are written, so that damage is found and
// located when they are read. The hash of a whole file is the hash of its block hashes.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/thread_pool.h"

namespace trireme {

constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

/// What a manifest keeps of a file.
struct FileRecord {
  std::string name;  // within the checkpoint's folder
  uint64_t size = 0;
  std::vector<uint64_t> blocks;  // XXH3-64 of each kBlockBytes, the last one shorter

  uint64_t hash() const;
};

/// A new file written from begin to end. After any IoError it is worth nothing and must not be synced again: what a
/// failed fsync has lost cannot be found out.
class BlockFile {
 public:
  BlockFile(const std::string& folder, std::string name, FileSystem& fs);
  ~BlockFile();
  BlockFile(const BlockFile&) = delete;
  BlockFile& operator=(const BlockFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  uint64_t size() const { return record_.size + buffer_.size(); }
  /// Writes what is buffered, syncs and closes.
  FileRecord finish();

 private:
  void flush();

  FileSystem& fs_;
  std::string path_;
  int fd_;
  FileRecord record_;
  std::vector<std::byte> buffer_;  // one block
};

/// What `describe(begin, end)` knows of these bytes of a file, to be added to a message.
using DescribeBytes = std::function<std::string(uint64_t begin, uint64_t end)>;

/// IoError where `bytes` are not what the record says: file, damaged bytes, expected and found hash, and what
/// `describe` knows about the place. Of several damaged places it names the first.
void check_blocks(std::span<const std::byte> bytes, const std::string& path, const FileRecord& record, ThreadPool* pool,
                  const DescribeBytes& describe);
/// The same without an exception: a text for each run of damaged blocks, none where all is well.
std::vector<std::string> damage_of_blocks(std::span<const std::byte> bytes, const std::string& path,
                                          const FileRecord& record, ThreadPool* pool, const DescribeBytes& describe);

/// What was read of a file: bytes that were asked for, and bytes of the blocks that had to be checked for them.
struct ReadCount {
  uint64_t used = 0, checked = 0;
};

/// Checks blocks of a mapped file when they are first read. Readers may be many threads.
class LazyBlocks {
 public:
  /// `record` must outlive this. IoError where the size is wrong.
  LazyBlocks(std::span<const std::byte> bytes, std::string path, const FileRecord& record);

  /// Before bytes [begin, end) are used, by the tensor `name`. IoError as of check_blocks.
  void require(uint64_t begin, uint64_t end, std::string_view name);
  ReadCount count() const;

 private:
  std::span<const std::byte> bytes_;
  std::string path_;
  const FileRecord& record_;
  mutable std::mutex mutex_;
  std::vector<bool> checked_;
  ReadCount count_;
};

}  // namespace trireme
