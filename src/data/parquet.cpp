#include "data/parquet.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/strings.h"
#include "data/parquet_column.h"

namespace trireme {
namespace {

class ParquetReader final : public DocumentReader {
 public:
  ParquetReader(std::unique_ptr<ByteStream> file, const std::string& column)
      : file_(std::move(file)), meta_(read_parquet_meta(*file_)) {
    std::vector<std::string> wanted = {column};
    if (find(column) == nullptr) wanted = split(column, '+');
    for (const std::string& name : wanted) {
      const ParquetColumn* found = find(name);
      if (found == nullptr || !found->flat || !found->text) refuse(name, found);
      columns_.emplace_back(*file_, meta_, static_cast<size_t>(found - meta_.columns.data()));
    }
  }

  bool next(std::string& out) override {
    while (in_group_ == rows_of_group_) {
      if (group_ == meta_.groups.size()) return false;
      start(group_++);
    }
    ++in_group_;
    ++row_;
    for (ParquetColumnReader& column : columns_) out += column.next();
    return true;
  }

  uint64_t position() const override { return row_; }
  void go_on(uint64_t position) override {
    group_ = 0;
    row_ = 0;
    in_group_ = rows_of_group_ = 0;
    while (group_ < meta_.groups.size() && position - row_ >= static_cast<uint64_t>(meta_.group_rows[group_]))
      row_ += static_cast<uint64_t>(meta_.group_rows[group_++]);
    for (std::string thrown_away; row_ < position && next(thrown_away); thrown_away.clear()) {}
  }
  uint64_t file_position() const override {
    if (meta_.num_rows == 0) return meta_.file_bytes;
    const double done = static_cast<double>(row_) / static_cast<double>(meta_.num_rows);
    return static_cast<uint64_t>(done * static_cast<double>(meta_.file_bytes));
  }

 private:
  const ParquetColumn* find(const std::string& name) const {
    const auto found = std::find_if(meta_.columns.begin(), meta_.columns.end(),
                                    [&](const ParquetColumn& column) { return column.name == name; });
    return found == meta_.columns.end() ? nullptr : &*found;
  }

  [[noreturn]] void refuse(const std::string& name, const ParquetColumn* found) const {
    std::string known;
    for (const ParquetColumn& column : meta_.columns)
      if (column.flat && column.text) known += cat(known.empty() ? "'" : ", '", column.name, "'");
    throw ConfigError(cat(file_->name(), ": ", found == nullptr ? "no column '" : "not a flat column of text: '", name,
                          "'; columns of text are ", known.empty() ? "none" : known,
                          "; name one with --column or data.column"));
  }

  void start(size_t group) {
    rows_of_group_ = meta_.group_rows[group];
    in_group_ = 0;
    for (ParquetColumnReader& column : columns_) column.start_group(group);
  }

  std::unique_ptr<ByteStream> file_;
  ParquetMeta meta_;
  std::vector<ParquetColumnReader> columns_;
  size_t group_ = 0;  // the next one to start
  int64_t in_group_ = 0, rows_of_group_ = 0;
  uint64_t row_ = 0;
};

}  // namespace

std::unique_ptr<DocumentReader> read_parquet(std::unique_ptr<ByteStream> file, const std::string& column) {
  return std::make_unique<ParquetReader>(std::move(file), column);
}

}  // namespace trireme
