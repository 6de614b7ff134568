#include "data/record_sets.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "data/json_text.h"
#include "data/pickle.h"

namespace trireme {
namespace {

constexpr uint64_t kLargestMeta = uint64_t{1} << 28;

[[noreturn]] void fail(const std::string& file, uint64_t offset, const std::string& detail) {
  throw IoError(cat(file, ": byte ", offset, ": ", detail));
}

class LazyReader final : public DocumentReader {
 public:
  LazyReader(std::unique_ptr<ByteStream> data, uint64_t data_bytes, std::unique_ptr<ByteStream> lengths)
      : data_(std::move(data)), lengths_(std::move(lengths)), data_bytes_(data_bytes) {}

  bool next(std::string& out) override {
    const std::optional<int64_t> length = lengths_.next();
    if (!length) {
      if (offset_ != data_bytes_)
        fail(data_->name(), offset_, cat("all lengths together end here, the file has ", data_bytes_, " bytes"));
      return false;
    }
    check(*length);
    const size_t before = out.size();
    out.resize(before + static_cast<size_t>(*length));
    if (data_->read(std::as_writable_bytes(std::span(out).subspan(before))) != static_cast<size_t>(*length))
      fail(data_->name(), offset_, "the file became shorter while it was read");
    offset_ += static_cast<uint64_t>(*length);
    ++documents_;
    return true;
  }

  uint64_t position() const override { return documents_; }
  void go_on(uint64_t position) override {
    lengths_.restart();
    offset_ = 0;
    for (documents_ = 0; documents_ < position; ++documents_) {
      const std::optional<int64_t> length = lengths_.next();
      if (!length) break;
      check(*length);
      offset_ += static_cast<uint64_t>(*length);
    }
    data_->seek(offset_);
  }
  uint64_t file_position() const override { return offset_ + lengths_.position(); }

 private:
  void check(int64_t length) const {
    if (length < 0 || static_cast<uint64_t>(length) > data_bytes_ - offset_)
      fail(lengths_.name(), lengths_.position(),
           cat("document ", documents_, " has ", length, " bytes, ", data_bytes_ - offset_, " of ", data_->name(),
               " are left"));
  }

  std::unique_ptr<ByteStream> data_;
  PickledIntegers lengths_;
  uint64_t data_bytes_, offset_ = 0, documents_ = 0;
};

class BlockReader final : public DocumentReader {
 public:
  BlockReader(std::unique_ptr<ByteStream> data, uint64_t block_bytes, std::string column)
      : data_(std::move(data)), block_bytes_(block_bytes), column_(std::move(column)) {}

  bool next(std::string& out) override {
    for (;;) {
      const uint64_t in_block = offset_ % block_bytes_;
      unsigned char mark = 0;
      if (read(&mark, 1) == 0) return false;
      if (mark == 0) {  // the rest of the block is empty
        offset_ += block_bytes_ - in_block;
        data_->seek(offset_);
        continue;
      }
      if (mark != 0x1F) fail(data_->name(), offset_, cat("expected 31, a record, or 0, found ", +mark));
      uint32_t length = 0;
      if (read(&length, 4) != 4 || in_block + 5 + length > block_bytes_)
        fail(data_->name(), offset_,
             cat("a record of ", length, " bytes does not fit into its block of ", block_bytes_));
      record_.clear();
      while (record_.size() < length) {  // piece by piece: a small file may claim a large record
        const size_t before = record_.size(), piece = std::min<size_t>(length - before, size_t{1} << 20);
        record_.resize(before + piece);
        if (read(record_.data() + before, piece) != piece)
          fail(data_->name(), offset_, "the file ends within a record");
      }
      append_text(out);
      offset_ += 5 + length;
      return true;
    }
  }

  uint64_t position() const override { return offset_; }
  void go_on(uint64_t position) override {
    offset_ = position;
    data_->seek(position);
  }
  uint64_t file_position() const override { return offset_; }

 private:
  size_t read(void* to, size_t bytes) { return data_->read({static_cast<std::byte*>(to), bytes}); }

  void append_text(std::string& out) {
    if (!record_.empty() && static_cast<unsigned char>(record_[0]) == 0x80)
      fail(data_->name(), offset_,
           "this record is pickled by Python, which is not read; write the set again with JSON or raw records");
    if (record_.empty() || (record_[0] != '{' && record_[0] != '"')) {
      out += record_;
      return;
    }
    JsonTextReader json(TextCursor(memory_stream(record_, cat(data_->name(), ": record at byte ", offset_))), column_,
                        true);
    json.next(out);
  }

  std::unique_ptr<ByteStream> data_;
  uint64_t block_bytes_;
  std::string column_, record_;
  uint64_t offset_ = 0;
};

/// Readers of several files as one: a position is that within all files end to end.
class ChainReader final : public DocumentReader {
 public:
  struct Part {
    std::string path;
    uint64_t bytes = 0, block_bytes = 0;
  };
  ChainReader(std::vector<Part> parts, std::string column) : parts_(std::move(parts)), column_(std::move(column)) {}

  bool next(std::string& out) override {
    for (; part_ < parts_.size(); before_ += parts_[part_++].bytes, reader_.reset()) {
      open();
      if (reader_->next(out)) return true;
    }
    return false;
  }
  uint64_t position() const override { return before_ + (reader_ ? reader_->position() : 0); }
  void go_on(uint64_t position) override {
    reader_.reset();
    before_ = part_ = 0;
    while (part_ < parts_.size() && position - before_ > parts_[part_].bytes) before_ += parts_[part_++].bytes;
    if (part_ == parts_.size()) return;
    open();
    reader_->go_on(position - before_);
  }
  uint64_t file_position() const override { return position(); }

 private:
  void open() {
    if (!reader_) reader_ = read_blocks(open_file(parts_[part_].path), parts_[part_].block_bytes, column_);
  }

  std::vector<Part> parts_;
  std::string column_;
  size_t part_ = 0;
  uint64_t before_ = 0;
  std::unique_ptr<DocumentReader> reader_;
};

std::vector<ChainReader::Part> read_meta(const std::string& folder) {
  const std::string path = folder + "/meta.bin", text = read_file(path, kLargestMeta);
  std::vector<ChainReader::Part> parts;
  size_t offset = 0;
  for (const std::string& line : split(text, '\n')) {
    const size_t at = std::exchange(offset, offset + line.size() + 1);
    if (trim(line).empty()) continue;
    try {
      const Json entry = Json::parse(line, path);
      if (entry.find("mask") != nullptr && entry.at("mask").as_bool()) continue;
      const std::string& name = entry.at("file_name").as_string();
      const int64_t bytes = entry.at("block_size").as_integer();
      if (name.empty() || name.find('/') != std::string::npos || name == "..")
        throw ConfigError(cat("file_name is '", name, "', expected the name of a file in this folder"));
      if (bytes < 6) throw ConfigError(cat("block_size is ", bytes, ", expected at least 6"));
      const std::string file = folder + "/" + name;
      parts.push_back({file, file_size(file), static_cast<uint64_t>(bytes)});
    } catch (const ConfigError& error) {
      fail(path, at, error.what());
    }
  }
  if (parts.empty()) fail(path, 0, "expected a line for each data file, found none in use");
  return parts;
}

}  // namespace

bool is_lazy_folder(const std::string& path) {
  return std::filesystem::is_regular_file(path + "/data.len.pkl") && std::filesystem::is_regular_file(path + "/data");
}

bool is_block_folder(const std::string& path) { return std::filesystem::is_regular_file(path + "/meta.bin"); }

std::vector<std::string> lazy_folder_files(const std::string& path) { return {path + "/data", path + "/data.len.pkl"}; }

std::vector<std::string> block_folder_files(const std::string& path) {
  std::vector<std::string> files = {path + "/meta.bin"};
  for (const ChainReader::Part& part : read_meta(path)) files.push_back(part.path);
  return files;
}

std::unique_ptr<DocumentReader> open_lazy_folder(const std::string& path) {
  const std::string data = path + "/data";
  return read_lazy(open_file(data), file_size(data), open_file(path + "/data.len.pkl"));
}

std::unique_ptr<DocumentReader> open_block_folder(const std::string& path, const std::string& column) {
  return std::make_unique<ChainReader>(read_meta(path), column);
}

std::unique_ptr<DocumentReader> read_lazy(std::unique_ptr<ByteStream> data, uint64_t data_bytes,
                                          std::unique_ptr<ByteStream> lengths) {
  return std::make_unique<LazyReader>(std::move(data), data_bytes, std::move(lengths));
}

std::unique_ptr<DocumentReader> read_blocks(std::unique_ptr<ByteStream> data, uint64_t block_bytes,
                                            const std::string& column) {
  return std::make_unique<BlockReader>(std::move(data), block_bytes, column);
}

}  // namespace trireme
