#include "checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "base/numeric.h"

namespace trireme {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr uint64_t kLengthBytes = 8;

struct TypeRow {
  std::string_view name;
  uint64_t bits;
  std::optional<DType> dtype;
};

/// In the official writer's order of types, which sorts them by alignment.
constexpr std::array<TypeRow, 22> kTypes{
    {{"BOOL", 8, {}},         {"F4", 4, {}},           {"F6_E2M3", 6, {}},        {"F6_E3M2", 6, {}},
     {"U8", 8, DType::u8},    {"I8", 8, {}},           {"F8_E5M2", 8, {}},        {"F8_E4M3", 8, {}},
     {"F8_E8M0", 8, {}},      {"F8_E4M3FNUZ", 8, {}},  {"F8_E5M2FNUZ", 8, {}},    {"I16", 16, {}},
     {"U16", 16, DType::u16}, {"F16", 16, DType::f16}, {"BF16", 16, DType::bf16}, {"I32", 32, DType::i32},
     {"U32", 32, {}},         {"F32", 32, DType::f32}, {"C64", 64, {}},           {"F64", 64, DType::f64},
     {"I64", 64, DType::i64}, {"U64", 64, {}}}};

const TypeRow& type_of(DType dtype) {
  const auto row = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeRow& t) { return t.dtype == dtype; });
  CHECK(row != kTypes.end(), dtype_name(dtype), " has no name in safetensors");
  return *row;
}

/// Reads one file's header; remembers where it is for its messages.
class HeaderReader {
 public:
  HeaderReader(std::string_view file, const std::string& where) : file_(file), where_(where) {}

  SafetensorsHeader read() {
    const Json tree = Json::parse(header_text(), cat(where_, ": header (starts at byte ", kLengthBytes, ")"));
    SafetensorsHeader header;
    header.entries.reserve(tree.size());
    try {
      for (const auto& [name, value] : tree.members()) {
        tensor_ = name;
        if (name == "__metadata__")
          for (const auto& [key, text] : value.members()) header.metadata.emplace_back(key, text.as_string());
        else
          header.entries.push_back(entry(name, value));
      }
    } catch (const ConfigError& e) {  // a member is missing or of another kind
      fail(e.what());
    }
    check_layout(header.entries);
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw IoError(cat(where_, ": header (from byte ", kLengthBytes, ")", tensor_.empty() ? "" : ", tensor ",
                      tensor_.empty() ? "" : Json(tensor_).dump(), ": ", reason,
                      "; this is not a valid safetensors file"));
  }

  std::string_view header_text() {
    if (file_.size() < kLengthBytes)
      fail(cat("expected ", kLengthBytes, " bytes of header length at byte 0, the file has ", file_.size()));
    uint64_t length = 0;
    std::memcpy(&length, file_.data(), kLengthBytes);
    if (length > kMaxHeaderBytes)
      fail(cat("expected a header length up to ", kMaxHeaderBytes, " at byte 0, found ", length));
    if (length > file_.size() - kLengthBytes)
      fail(cat("a header of ", length, " bytes does not fit into the file of ", file_.size()));
    const std::string_view text = file_.substr(kLengthBytes, length);
    if (!text.starts_with('{')) fail("expected '{' at byte 8");
    data_begin_ = kLengthBytes + length;
    return text;
  }

  SafetensorsEntry entry(const std::string& name, const Json& value) const {
    SafetensorsEntry e;
    e.name = name;
    const std::string& type = value.at("dtype").as_string();
    const auto row = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeRow& t) { return t.name == type; });
    if (row == kTypes.end()) fail(cat("unknown dtype ", Json(type).dump()));
    e.type = row->name;
    e.dtype = row->dtype;

    uint64_t bits = row->bits;
    for (const Json& size : value.at("shape").items()) {
      e.shape.push_back(count(size, "a size"));
      if (__builtin_mul_overflow(bits, static_cast<uint64_t>(e.shape.back()), &bits))
        fail("the shape overflows 64 bits");
    }
    if (bits % 8 != 0) fail(cat(bits, " bits do not end on a byte"));

    const std::vector<Json>& offsets = value.at("data_offsets").items();
    if (offsets.size() != 2) fail(cat("expected 2 data_offsets, found ", offsets.size()));
    const uint64_t begin = static_cast<uint64_t>(count(offsets[0], "an offset"));
    const uint64_t end = static_cast<uint64_t>(count(offsets[1], "an offset"));
    const uint64_t data_bytes = file_.size() - data_begin_;
    if (begin > end || end > data_bytes)
      fail(cat("data_offsets [", begin, ", ", end, "] are not within the ", data_bytes, " bytes of data"));
    if (end - begin != bits / 8)
      fail(cat("data_offsets span ", end - begin, " bytes, dtype and shape make ", bits / 8));
    e.begin = data_begin_ + begin;
    e.end = data_begin_ + end;
    return e;
  }

  int64_t count(const Json& value, std::string_view what) const {
    if (value.kind() != Json::Kind::integer || value.as_integer() < 0)
      fail(cat("expected ", what, " of 0 or more, found ", value.dump().substr(0, 40)));
    return value.as_integer();
  }

  /// Sorts by position; the tensors must follow each other from the end of the header to the end of the file.
  void check_layout(std::vector<SafetensorsEntry>& entries) {
    std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t expected = data_begin_;
    for (const SafetensorsEntry& e : entries) {
      tensor_ = e.name;
      if (e.begin != expected)
        fail(cat("expected to start at byte ", expected, " of the file, starts at ", e.begin,
                 e.begin < expected ? " (overlap)" : " (hole)"));
      expected = e.end;
    }
    tensor_.clear();
    if (expected != file_.size())
      fail(cat("the tensors end at byte ", expected, ", the file has ", file_.size(), " bytes"));
  }

  std::string_view file_;
  const std::string& where_;
  std::string tensor_;  // the one being read
  uint64_t data_begin_ = 0;
};

}  // namespace

SafetensorsHeader parse_safetensors(std::string_view file, const std::string& where) {
  return HeaderReader(file, where).read();
}

SafetensorsPlan plan_safetensors(std::span<const SafetensorsTensor> tensors,
                                 std::span<const std::pair<std::string, std::string>> metadata) {
  SafetensorsPlan plan;
  plan.order.resize(tensors.size());
  std::iota(plan.order.begin(), plan.order.end(), size_t{0});
  std::sort(plan.order.begin(), plan.order.end(), [&](size_t a, size_t b) {
    const TypeRow *type_a = &type_of(tensors[a].dtype), *type_b = &type_of(tensors[b].dtype);
    return type_a != type_b ? type_a > type_b : tensors[a].name < tensors[b].name;
  });

  Json tree = Json::object();
  if (!metadata.empty())
    for (const auto& [key, value] : metadata) tree["__metadata__"][key] = value;
  uint64_t position = 0;
  plan.offsets.resize(tensors.size());
  for (size_t k = 0; k < plan.order.size(); ++k) {
    const SafetensorsTensor& t = tensors[plan.order[k]];
    CHECK(k == 0 || tensors[plan.order[k - 1]].name != t.name, "two tensors called ", t.name);
    plan.offsets[plan.order[k]] = position;
    Json entry = Json::object(), shape = Json::array(), offsets = Json::array();
    for (int d = 0; d < t.shape.rank; ++d) shape.push_back(t.shape[d]);
    offsets.push_back(position);
    offsets.push_back(position += t.bytes());
    entry["dtype"] = type_of(t.dtype).name;
    entry["shape"] = std::move(shape);
    entry["data_offsets"] = std::move(offsets);
    tree.members().emplace_back(t.name, std::move(entry));
  }

  std::string text = tree.dump();
  text.resize(static_cast<size_t>(round_up(static_cast<int64_t>(text.size()), 8)), ' ');
  const uint64_t length = text.size();
  plan.header.assign(reinterpret_cast<const char*>(&length), kLengthBytes);
  plan.header += text;
  for (uint64_t& offset : plan.offsets) offset += plan.header.size();
  plan.file_bytes = plan.header.size() + position;
  return plan;
}

}  // namespace trireme
