// The index files of Megatron-LM, and of llm.c, which has its counts in front of the ids.
//
// MMIDIDX, little endian:
//   0 magic "MMIDIDX\0\0"   9 u64 version 1   17 u8 type   18 u64 S sequences   26 u64 D = documents + 1
//   34 i32[S] ids of each sequence   i64[S] byte offset of each in .bin   i64[D] first sequence of each document, then
//   S
// TNTIDX, of Megatron-LM's older lazy and cached data sets (and, without the count and table of documents, fairseq's):
//   0 magic "TNTIDX\0\0"   8 u64 version 1   16 u64 type   24 u64 bytes of an id   32 u64 S   40 u64 Z sizes
//   48 u64 D   56 i64[S+1] first size of each sequence   i64[S+1] first id of each   i64[Z] sizes   i64[D] as above
// llm.c: 256 i32, of which 0 magic, 1 version, 2 number of ids; then the ids.
#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "data/token_tables.h"

namespace trireme {
namespace {

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::string_view kLegacyMagic("TNTIDX\0\0", 8);
constexpr int64_t kVersionOffset = 9, kTypeOffset = 17, kSequencesOffset = 18, kDocumentsOffset = 26, kHeaderBytes = 34;
constexpr int64_t kLegacyHeaderBytes = 56;

template <class T>
T load(std::span<const std::byte> from, int64_t offset) {
  T value;
  std::memcpy(&value, &from[static_cast<size_t>(offset)], sizeof(T));
  return value;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TokenTables tables_of(const std::string& prefix, std::span<const std::byte> bin) {
  TokenTables tables;
  tables.ids_name = prefix + ".bin";
  tables.index_name = prefix + ".idx";
  tables.ids = bin;
  return tables;
}

TokenType type_of(uint64_t code, const TokenTables& tables, const std::string& place) {
  if (code == 6 || code == 7)
    fail_index(tables.index_name, place, cat("type ", code, " is a floating-point one, token ids are integers"));
  if (code == 0 || code > 8) fail_index(tables.index_name, place, cat("expected a type from 1 to 8, found ", code));
  return static_cast<TokenType>(code);
}

}  // namespace

TokenTables read_megatron(const std::string& prefix, std::span<const std::byte> bin, std::span<const std::byte> idx) {
  if (text_of(idx).substr(0, kLegacyMagic.size()) == kLegacyMagic) return read_tntidx(prefix, bin, idx);
  TokenTables tables = tables_of(prefix, bin);
  tables.format = "Megatron-LM (MMIDIDX)";
  const auto fail = [&](int64_t offset, const std::string& detail) {
    fail_index(tables.index_name, cat("byte ", offset), detail);
  };
  const auto size = static_cast<int64_t>(idx.size());
  if (const size_t n = std::min(idx.size(), kMagic.size()); text_of(idx).substr(0, n) != kMagic.substr(0, n))
    fail(0, "expected the 9 bytes MMIDIDX\\0\\0, found another kind of file");
  if (size < kHeaderBytes) fail(size, cat("the file ends within its header of ", kHeaderBytes, " bytes"));
  if (const auto version = load<uint64_t>(idx, kVersionOffset); version != 1)
    fail(kVersionOffset, cat("expected version 1, found ", version));
  tables.type = type_of(load<uint8_t>(idx, kTypeOffset), tables, cat("byte ", kTypeOffset));

  const auto sequences = load<uint64_t>(idx, kSequencesOffset), documents = load<uint64_t>(idx, kDocumentsOffset);
  const auto room = static_cast<uint64_t>(size - kHeaderBytes);
  if (sequences > room / 12)
    fail(kSequencesOffset, cat(sequences, " sequences of 12 bytes each do not fit into a file of ", size, " bytes"));
  if (documents > (room - 12 * sequences) / 8)
    fail(kDocumentsOffset, cat(documents, " document entries of 8 bytes each do not fit into a file of ", size,
                               " bytes with ", sequences, " sequences"));
  if (documents == 0) fail(kDocumentsOffset, "expected at least 1 document entry, found 0");
  const auto num_sequences = static_cast<int64_t>(sequences), num_entries = static_cast<int64_t>(documents);
  const int64_t expected = kHeaderBytes + 12 * num_sequences + 8 * num_entries;
  if (size == expected + num_sequences && num_sequences > 0)
    fail(expected, "the index has a table of modes, that is, of several media; only text is read");
  if (size != expected) fail(expected, cat("expected the file to end here, it has ", size, " bytes"));
  int64_t offset = kHeaderBytes;
  const auto take = [&](int64_t count, int64_t width) {
    const int64_t begin = std::exchange(offset, offset + count * width);
    return IntegerTable{idx.data() + begin, count, width, begin};
  };
  tables.lengths = take(num_sequences, 4);
  tables.begins = take(num_sequences, 8);
  tables.documents = take(num_entries, 8);
  return tables;
}

TokenTables read_tntidx(const std::string& prefix, std::span<const std::byte> bin, std::span<const std::byte> idx) {
  TokenTables tables = tables_of(prefix, bin);
  tables.format = "Megatron-LM, older (TNTIDX)";
  const auto fail = [&](int64_t offset, const std::string& detail) {
    fail_index(tables.index_name, cat("byte ", offset), detail);
  };
  const auto size = static_cast<int64_t>(idx.size());
  if (size < kLegacyHeaderBytes) fail(size, cat("the file ends within its header of ", kLegacyHeaderBytes, " bytes"));
  if (const auto version = load<uint64_t>(idx, 8); version != 1) fail(8, cat("expected version 1, found ", version));
  tables.type = type_of(load<uint64_t>(idx, 16), tables, "byte 16");
  if (const auto width = load<uint64_t>(idx, 24); width != static_cast<uint64_t>(token_size(tables.type)))
    fail(24, cat("ids of this type have ", token_size(tables.type), " bytes, found ", width));
  const auto sequences = load<uint64_t>(idx, 32), sizes = load<uint64_t>(idx, 40);
  const auto words = static_cast<uint64_t>(size) / 8 - 6;  // behind the counts that all have
  if (sequences > words || 2 * (sequences + 1) > words)
    fail(32, cat(sequences, " sequences of 16 bytes each do not fit into a file of ", size, " bytes"));
  if (sizes != sequences)
    fail(40,
         cat("expected as many sizes as sequences, ", sequences, ", found ", sizes, "; token ids have one dimension"));
  const auto count = static_cast<int64_t>(sequences);
  const int64_t without = 48 + 8 * (3 * count + 2);  // fairseq's
  const auto documents = load<uint64_t>(idx, 48);
  const bool counted = size != without;
  if (counted && (size < without + 8 || documents != static_cast<uint64_t>(size - without - 8) / 8 || size % 8 != 0))
    fail(48, cat(documents, " document entries and ", sequences, " sequences do not make a file of ", size, " bytes"));

  int64_t offset = counted ? kLegacyHeaderBytes : 48;
  const auto take = [&](int64_t entries) {
    const int64_t begin = std::exchange(offset, offset + 8 * entries);
    return IntegerTable{idx.data() + begin, entries, 8, begin};
  };
  const IntegerTable dimensions = take(count + 1);
  for (int64_t s = 0; s <= count; ++s)
    if (dimensions[s] != s)
      fail_index(tables.index_name, dimensions.place(s),
                 cat("sequence ", s, ": expected one dimension, so ", s, " before it, found ", dimensions[s]));
  tables.begins = take(count + 1);
  tables.begin_unit = token_size(tables.type);
  const auto num_ids = static_cast<int64_t>(bin.size()) / tables.begin_unit;
  if (tables.begins[count] != num_ids)
    fail_index(tables.index_name, tables.begins.place(count),
               cat("expected ", num_ids, ", the ids of ", tables.ids_name, ", found ", tables.begins[count]));
  tables.begins.size = count;
  tables.lengths = take(count);
  if (counted) {
    if (documents == 0) fail(48, "expected at least 1 document entry, found 0");
    tables.documents = take(static_cast<int64_t>(documents));
  } else {
    std::vector<int64_t> each(static_cast<size_t>(count) + 1);
    std::iota(each.begin(), each.end(), 0);
    tables.documents = tables.make_table(std::move(each));
  }
  return tables;
}

TokenTables read_llmc(const std::string& name, std::span<const std::byte> bytes) {
  constexpr int64_t kHeader = 1024;
  TokenTables tables;
  tables.format = "llm.c shard";
  tables.ids_name = tables.index_name = name;
  const auto fail = [&](int64_t offset, const std::string& detail) { fail_index(name, cat("byte ", offset), detail); };
  const auto size = static_cast<int64_t>(bytes.size());
  if (size < kHeader) fail(size, "neither token files nor a shard of llm.c, which has a header of 1024 bytes");
  const auto magic = load<int32_t>(bytes, 0), version = load<int32_t>(bytes, 4), count = load<int32_t>(bytes, 8);
  const bool narrow = magic == kLlmcMagic && version == 1, wide = magic == kLlmcWideMagic && version == 7;
  if (!narrow && !wide)
    fail(0,
         cat("expected 20240520 and 1 or 20240801 and 7, as shards of llm.c begin, found ", magic, " and ", version));
  tables.type = narrow ? TokenType::u16 : TokenType::i32;  // the wide type is unsigned, but no vocabulary is so large
  if (count < 0 || size - kHeader != count * token_size(tables.type))
    fail(8, cat(count, " ids of ", token_size(tables.type), " bytes behind ", kHeader, " bytes do not make a file of ",
                size, " bytes"));
  tables.ids = bytes.subspan(kHeader);
  tables.ids_offset = kHeader;
  tables.lengths = tables.make_table({count});
  tables.begins = tables.make_table({0});
  tables.documents = tables.make_table({0, 1});
  return tables;
}

}  // namespace trireme
