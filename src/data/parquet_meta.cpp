#include "data/parquet_meta.h"

#include <cstring>
#include <limits>

#include "base/error.h"
#include "data/thrift.h"

namespace trireme {
namespace {

using Type = ThriftReader::Type;

constexpr uint64_t kTrailer = 8;  // length of the footer, "PAR1"
constexpr int64_t kByteArray = 6, kOptional = 1, kRepeated = 2;

[[noreturn]] void fail(const ByteStream& file, uint64_t offset, const std::string& detail) {
  throw IoError(cat(file.name(), ": byte ", offset, ": ", detail, "; make or copy the file again"));
}

struct Element {
  ParquetColumn column;
  int64_t children = 0, repetition = 0;
};

Element read_element(ThriftReader& in) {
  Element element;
  element.column.text = false;
  in.fields([&](int id, Type type) {
    switch (id) {
      case 1: element.column.text = in.integer(type) == kByteArray; return true;
      case 3: element.repetition = in.integer(type); return true;
      case 4: element.column.name = in.text(type); return true;
      case 5: element.children = in.integer(type); return true;
      default: return false;
    }
  });
  return element;
}

/// The leaves of the tree that `elements` lists depth first; false where it is none.
bool find_columns(std::vector<ParquetColumn>& columns, const std::vector<Element>& elements) {
  if (elements.empty()) return false;
  std::vector<int64_t> left = {elements[0].children};  // children to come, on each level
  for (size_t i = 1; i < elements.size(); ++i) {
    while (!left.empty() && left.back() == 0) left.pop_back();
    if (left.empty()) return false;
    --left.back();
    const Element& element = elements[i];
    if (element.children > 0) {
      left.push_back(element.children);
      continue;
    }
    columns.push_back(element.column);
    columns.back().optional = element.repetition == kOptional;
    columns.back().flat = left.size() == 1 && element.repetition != kRepeated;
  }
  return true;
}

ParquetChunk read_chunk(ThriftReader& in) {
  ParquetChunk chunk;
  int64_t data = -1, dictionary = 0;
  in.fields([&](int id, Type type) {
    if (id != 3 || type != ThriftReader::structure) return false;
    in.fields([&](int field, Type kind) {
      switch (field) {
        case 4: chunk.codec = in.integer(kind); return true;
        case 5: chunk.num_values = in.integer(kind); return true;
        case 7: chunk.bytes = in.integer(kind); return true;
        case 9: data = in.integer(kind); return true;
        case 11: dictionary = in.integer(kind); return true;
        default: return false;
      }
    });
    return true;
  });
  chunk.begin = dictionary > 0 && dictionary < data ? dictionary : data;
  return chunk;
}

void read_groups(ParquetMeta& meta, ThriftReader& in) {
  in.elements([&](Type element) {
    if (element != ThriftReader::structure) throw ThriftError{in.position()};
    meta.groups.emplace_back();
    meta.group_rows.push_back(0);
    in.fields([&](int id, Type type) {
      if (id == 3) meta.group_rows.back() = in.integer(type);
      if (id == 1 && type == ThriftReader::list)
        in.elements([&](Type) { meta.groups.back().push_back(read_chunk(in)); });
      return id == 3 || (id == 1 && type == ThriftReader::list);
    });
  });
}

}  // namespace

ParquetMeta read_parquet_meta(ByteStream& file) {
  ParquetMeta meta;
  meta.file_bytes = file.file_bytes();
  const uint64_t size = meta.file_bytes;
  char trailer[kTrailer] = {};
  if (size < kTrailer + 4) fail(file, size, "too short for a Parquet file");
  file.seek(size - kTrailer);
  file.read(std::as_writable_bytes(std::span(trailer)));
  if (std::memcmp(trailer + 4, "PAR1", 4) != 0)
    fail(file, size - 4, "expected PAR1 at the end; the file is cut short or no Parquet file");
  uint32_t length = 0;
  std::memcpy(&length, trailer, 4);
  if (length > size - kTrailer - 4) fail(file, size - kTrailer, cat("a footer of ", length, " bytes does not fit"));
  const uint64_t begin = size - kTrailer - length;
  std::vector<std::byte> footer(length);
  file.seek(begin);
  file.read(footer);

  std::vector<Element> elements;
  ThriftReader in(footer);
  try {
    in.fields([&](int id, Type type) {
      if (id == 2 && type == ThriftReader::list) {
        in.elements([&](Type) { elements.push_back(read_element(in)); });
        return true;
      }
      if (id == 4 && type == ThriftReader::list) {
        read_groups(meta, in);
        return true;
      }
      return false;
    });
  } catch (const ThriftError& error) {
    fail(file, begin + error.position, "the footer is damaged");
  }
  if (!find_columns(meta.columns, elements)) fail(file, begin, "the footer has no whole schema");
  for (size_t g = 0; g < meta.groups.size(); ++g) {
    const int64_t rows = meta.group_rows[g];
    if (meta.groups[g].size() != meta.columns.size() || rows < 0 ||
        rows > std::numeric_limits<int64_t>::max() - meta.num_rows)
      fail(file, begin,
           cat("row group ", g, " has ", meta.groups[g].size(), " columns and ", rows, " rows, the schema ",
               meta.columns.size(), " columns"));
    meta.num_rows += rows;
    for (const ParquetChunk& chunk : meta.groups[g])
      if (chunk.begin < 0 || chunk.bytes < 0 || static_cast<uint64_t>(chunk.begin) > begin ||
          static_cast<uint64_t>(chunk.bytes) > begin - static_cast<uint64_t>(chunk.begin))
        fail(file, begin,
             cat("row group ", g, " has pages at byte ", chunk.begin, ", ", chunk.bytes,
                 " bytes long, outside of the data"));
  }
  return meta;
}

}  // namespace trireme
