#include "data/token_tables.h"

#include <filesystem>
#include <utility>

#include "base/byte_stream.h"
#include "base/error.h"

namespace trireme {
namespace {

bool exists(const std::string& path) { return std::filesystem::is_regular_file(path); }

/// A shard of llm.c by its first number: data without an index may also be what a commit of ours was cut short at.
bool is_llmc(const std::string& path) {
  int32_t magic = 0;
  return exists(path) && open_file(path)->read(std::as_writable_bytes(std::span(&magic, 1))) == sizeof magic &&
         (magic == kLlmcMagic || magic == kLlmcWideMagic);
}

}  // namespace

std::string IntegerTable::place(int64_t i) const {
  return file_offset < 0 ? cat("entry ", i) : cat("byte ", file_offset + i * width);
}

IntegerTable TokenTables::make_table(std::vector<int64_t> values) {
  made.push_back(std::move(values));
  return {reinterpret_cast<const std::byte*>(made.back().data()), static_cast<int64_t>(made.back().size()), 8, -1};
}

void fail_index(const std::string& name, const std::string& place, const std::string& detail) {
  throw IoError(cat(name, ": ", place, ": ", detail,
                    "; prepare the token files again, or copy them again if they were made elsewhere"));
}

bool has_token_files(const std::string& prefix) {
  return exists(prefix + ".idx") || exists(prefix + "_idx.npz") || exists(prefix + "_ids.npz") || is_llmc(prefix) ||
         is_llmc(prefix + ".bin");
}

MappedTokens map_token_files(const std::string& prefix) {
  MappedTokens mapped;
  const auto map = [&](const std::string& path) { return mapped.files.emplace_back(path).bytes(); };
  if (!exists(prefix + ".idx")) {
    if (exists(prefix + "_idx.npz")) {
      const auto ids = map(prefix + "_ids.npy");
      mapped.tables = read_paddle(prefix, ids, map(prefix + "_idx.npz"));
      return mapped;
    }
    if (exists(prefix + "_ids.npz")) {
      mapped.tables = read_paddle(prefix, {}, map(prefix + "_ids.npz"));
      return mapped;
    }
    for (const std::string& path : {prefix, prefix + ".bin"}) {
      if (!is_llmc(path)) continue;
      mapped.tables = read_llmc(path, map(path));
      return mapped;
    }
  }
  const auto bin = map(prefix + ".bin");
  mapped.tables = read_megatron(prefix, bin, map(prefix + ".idx"));
  return mapped;
}

}  // namespace trireme
