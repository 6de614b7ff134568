// PaddleFleetX's token files: X_ids.npy with all ids, X_idx.npz with lens (ids of each sequence, or of each document
// where it was not cut) and docs (first sequence of each document, then the number of sequences).
#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/zip.h"
#include "data/npy.h"
#include "data/token_tables.h"

namespace trireme {
namespace {

TokenType type_of(const NpyArray& array, const std::string& file) {
  const bool is_unsigned = array.kind == 'u';
  switch (array.width) {
    case 1: return is_unsigned ? TokenType::u8 : TokenType::i8;
    case 2: return is_unsigned ? TokenType::u16 : TokenType::i16;
    case 4: return TokenType::i32;  // no vocabulary needs the last bit
    default: break;
  }
  if (is_unsigned) throw IoError(cat(file, ": ids of 8 unsigned bytes are not read; save them as int32 or uint16"));
  return TokenType::i64;
}

/// Arrays of one .npz.
class Arrays {
 public:
  Arrays(TokenTables& tables, std::span<const std::byte> npz) : tables_(tables), npz_(npz) {
    members_ = read_zip(npz, tables.index_name);
  }

  const ZipMember* find(const std::string& key) const {
    const auto found =
        std::find_if(members_.begin(), members_.end(), [&](const ZipMember& m) { return m.name == key + ".npy"; });
    return found == members_.end() ? nullptr : &*found;
  }

  /// Where in the file an array lies that begins `offset` bytes into `bytes`; -1 where it was packed.
  int64_t place(std::span<const std::byte> bytes, int64_t offset) const {
    return bytes.data() >= npz_.data() && bytes.data() < npz_.data() + npz_.size() ? bytes.data() - npz_.data() + offset
                                                                                   : -1;
  }

  NpyArray read(const ZipMember& member, int64_t& file_offset) {
    const auto bytes = member.bytes(tables_.unpacked.emplace_back(), tables_.index_name);
    const NpyArray array = read_npy(bytes, cat(tables_.index_name, ": ", member.name));
    file_offset = place(bytes, array.offset);
    return array;
  }

  IntegerTable table(const std::string& key) {
    const ZipMember* member = find(key);
    if (member == nullptr) throw IoError(cat(tables_.index_name, ": there is no array ", key, " in this file"));
    IntegerTable table;
    const NpyArray array = read(*member, table.file_offset);
    if (array.width < 4)
      throw IoError(cat(tables_.index_name, ": ", key, ": expected integers of 4 or 8 bytes, found ", array.width));
    table.data = array.data.data();
    table.size = array.size;
    table.width = array.width;
    return table;
  }

 private:
  TokenTables& tables_;
  std::span<const std::byte> npz_;
  std::vector<ZipMember> members_;
};

}  // namespace

TokenTables read_paddle(const std::string& prefix, std::span<const std::byte> ids, std::span<const std::byte> npz) {
  const bool one_file = ids.empty();
  TokenTables tables;
  tables.format = one_file ? "PaddleFleetX, older (_ids.npz)" : "PaddleFleetX (_ids.npy, _idx.npz)";
  tables.ids_name = prefix + (one_file ? "_ids.npz" : "_ids.npy");
  tables.index_name = prefix + (one_file ? "_ids.npz" : "_idx.npz");
  tables.unpacked.reserve(3);
  Arrays arrays(tables, npz);
  NpyArray array;
  if (one_file) {
    const ZipMember* member = arrays.find("ids");
    if (member == nullptr) throw IoError(cat(tables.ids_name, ": there is no array ids in this file"));
    array = arrays.read(*member, tables.ids_offset);
    tables.ids_offset = std::max<int64_t>(tables.ids_offset, 0);
  } else {
    array = read_npy(ids, tables.ids_name);
    tables.ids_offset = array.offset;
  }
  tables.type = type_of(array, tables.ids_name);
  tables.ids = array.data;

  tables.lengths = arrays.table("lens");
  std::vector<int64_t> begins(static_cast<size_t>(tables.lengths.size));
  int64_t tokens = 0;
  for (int64_t s = 0; s < tables.lengths.size; ++s) {
    begins[static_cast<size_t>(s)] = tokens;
    const int64_t length = tables.lengths[s];
    if (length < 0 || length > array.size - tokens)
      fail_index(tables.index_name, tables.lengths.place(s),
                 cat("sequence ", s, " has ", length, " ids, ", array.size - tokens, " of ", array.size, " are left"));
    tokens += length;
  }
  if (tokens != array.size)
    fail_index(tables.index_name, tables.lengths.place(0),
               cat("all lens together are ", tokens, ", ", tables.ids_name, " has ", array.size, " ids"));
  tables.begins = tables.make_table(std::move(begins));
  tables.begin_unit = token_size(tables.type);
  if (!one_file) {
    tables.documents = arrays.table("docs");
    if (tables.documents.size == 0) throw IoError(cat(tables.index_name, ": docs: expected at least 1 entry, found 0"));
  } else {
    std::vector<int64_t> each(static_cast<size_t>(tables.lengths.size) + 1);
    std::iota(each.begin(), each.end(), 0);
    tables.documents = tables.make_table(std::move(each));
  }
  return tables;
}

}  // namespace trireme
