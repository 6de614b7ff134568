#include "checkpoint/manifest.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "base/strings.h"
#include "checkpoint/tensor_io.h"

namespace trireme {
namespace {

constexpr std::string_view kFormat = "trireme checkpoint";
constexpr std::string_view kTrailerBegin = ",\n \"trailer\": \"";
constexpr std::string_view kTrailerEnd = "\"\n}\n";
constexpr size_t kTrailerBytes = kTrailerBegin.size() + 16 + 1 + 16 + kTrailerEnd.size();
constexpr size_t kHexDigits = 16;
constexpr size_t kMaxParts = 1 << 14;  // of a tensor; each is compared with every other

/// The trailer of a manifest whose text before it is `body`.
std::string trailer_of(std::string_view body) {
  const uint64_t hash = hash64(std::as_bytes(std::span(body.data(), body.size())));
  return cat(kTrailerBegin, hex(body.size()), " ", hex(hash), kTrailerEnd);
}

Json file_json(const FileRecord& file) {
  std::string blocks;  // one string: a list of numbers would be ten times as much to parse
  for (const uint64_t block : file.blocks) blocks += hex(block);
  Json out = Json::object();
  out["name"] = file.name;
  out["size"] = file.size;
  out["xxh3"] = hex(file.hash());
  out["blocks"] = std::move(blocks);
  return out;
}

Json tensor_json(const TensorRecord& tensor) {
  Json out = Json::object(), shape = Json::array(), parts = Json::array();
  for (int d = 0; d < tensor.shape.rank; ++d) shape.push_back(tensor.shape[d]);
  for (const PartRecord& p : tensor.parts) {
    Json part = Json::array();
    for (const uint64_t value : {uint64_t{p.file}, p.offset}) part.push_back(value);
    for (const int64_t value : {p.box.row, p.box.rows, p.box.col, p.box.cols}) part.push_back(value);
    parts.push_back(std::move(part));
  }
  out["name"] = tensor.name;
  out["dtype"] = dtype_name(tensor.dtype);
  out["shape"] = std::move(shape);
  out["parts"] = std::move(parts);  // [file, offset, row, rows, col, cols] each
  return out;
}

int64_t natural(const Json& value) {
  const int64_t n = value.as_integer();
  if (n < 0) throw ConfigError(cat("line ", value.line, ": expected 0 or more, found ", n));
  return n;
}

uint64_t hex_word(std::string_view text) {
  uint64_t value = 0;
  for (const char c : text) {
    const size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) throw ConfigError(cat("expected hexadecimal digits, found '", text, "'"));
    value = value << 4 | digit;
  }
  return value;
}

Hash128 hash_from(const std::string& text) {
  if (text.size() != 2 * kHexDigits) throw ConfigError(cat("state_hash: expected 32 digits, found '", text, "'"));
  return {hex_word(text.substr(kHexDigits)), hex_word(text.substr(0, kHexDigits))};
}

FileRecord file_from(const Json& json) {
  FileRecord file;
  file.name = json.at("name").as_string();
  const std::vector<std::string> parts = split(file.name, '/');
  if (parts.size() > 2 ||
      std::any_of(parts.begin(), parts.end(), [](auto& part) { return part.empty() || part[0] == '.'; }))
    throw ConfigError(cat("line ", json.line, ": '", file.name, "' is no name of a file in the folder"));
  file.size = static_cast<uint64_t>(natural(json.at("size")));
  const std::string_view blocks = json.at("blocks").as_string();
  const uint64_t num_blocks = file.size / kBlockBytes + (file.size % kBlockBytes != 0);
  if (blocks.size() % kHexDigits != 0 || blocks.size() / kHexDigits != num_blocks)
    throw ConfigError(
        cat("file ", file.name, ": expected ", num_blocks, " block hashes, found ", blocks.size(), " digits"));
  for (size_t b = 0; b < num_blocks; ++b) file.blocks.push_back(hex_word(blocks.substr(b * kHexDigits, kHexDigits)));
  if (json.at("xxh3").as_string() != hex(file.hash()))
    throw ConfigError(cat("file ", file.name, ": xxh3 is not that of its blocks"));
  return file;
}

/// The shape, whose bytes fit into 63 bits.
Shape shape_from(const Json& json, DType dtype) {
  Shape shape;
  if (json.items().size() > kMaxDims)
    throw ConfigError(cat("line ", json.line, ": expected up to ", kMaxDims, " dimensions, found ", json.size()));
  int64_t bytes = dtype_size(dtype);
  for (const Json& size : json.items()) {
    shape[shape.rank++] = natural(size);
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(1, shape[shape.rank - 1]), &bytes))
      throw ConfigError(cat("line ", size.line, ": size overflows"));
  }
  return shape;
}

TensorRecord tensor_from(const Json& json, const std::vector<FileRecord>& files, bool whole_tensors) {
  TensorRecord tensor;
  tensor.name = json.at("name").as_string();
  const auto fail = [&](const std::string& why) { throw ConfigError(cat("tensor ", tensor.name, ": ", why)); };
  tensor.dtype = dtype_from_name(json.at("dtype").as_string());
  tensor.shape = shape_from(json.at("shape"), tensor.dtype);
  const Box whole = whole_box(tensor.shape);
  int64_t stored = 0;
  if (json.at("parts").size() > kMaxParts)
    fail(cat("expected up to ", kMaxParts, " parts, found ", json.at("parts").size()));
  for (const Json& part : json.at("parts").items()) {
    if (part.items().size() != 6) fail(cat("expected 6 numbers a part, found ", part.size()));
    const auto at = [&](size_t i) { return natural(part.items()[i]); };
    PartRecord p{static_cast<size_t>(at(0)), static_cast<uint64_t>(at(1)), {at(2), at(3), at(4), at(5)}};
    if (p.file >= files.size()) fail(cat("file ", p.file, " of ", files.size()));
    if (!contains(whole, p.box)) fail(cat(str(p.box), " is not within ", tensor.shape.str()));
    const FileRecord& file = files[p.file];
    const uint64_t bytes = static_cast<uint64_t>(num_elements(p.box) * dtype_size(tensor.dtype));
    if (p.offset > file.size || bytes > file.size - p.offset)
      fail(cat("bytes ", p.offset, " + ", bytes, " are not within the ", file.size, " of ", file.name));
    for (const PartRecord& other : tensor.parts)
      if (num_elements(intersect(other.box, p.box)) > 0) fail(cat(str(p.box), " overlaps ", str(other.box)));
    if (__builtin_add_overflow(stored, num_elements(p.box), &stored)) fail("its parts overflow");
    tensor.parts.push_back(p);
  }
  if (whole_tensors && stored != num_elements(whole))
    fail(cat("its parts hold ", stored, " of ", num_elements(whole), " elements"));
  return tensor;
}

std::vector<TensorRecord> tensors_from(const Json& json, const std::vector<FileRecord>& files, bool whole_tensors) {
  std::vector<TensorRecord> tensors;
  for (const Json& tensor : json.items()) tensors.push_back(tensor_from(tensor, files, whole_tensors));
  std::vector<std::string_view> names;
  for (const TensorRecord& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw ConfigError(cat("tensor ", *twice, " appears twice"));
  return tensors;
}

void check_trailer(std::string_view text, const std::string& where) {
  if (text.size() < kTrailerBytes)
    throw IoError(cat(where, ": expected a trailer of ", kTrailerBytes, " bytes, the file has ", text.size(),
                      "; it was cut short"));
  const std::string_view body = text.substr(0, text.size() - kTrailerBytes), found = text.substr(body.size());
  const std::string expected = trailer_of(body);
  if (found == expected) return;
  const bool whole = found.starts_with(kTrailerBegin) && found.ends_with(kTrailerEnd);
  throw IoError(cat(where, ": ", whole ? "damaged within " : "cut short or damaged; expected a trailer after ",
                    body.size(), " bytes",
                    whole ? cat(": expected ", expected.substr(kTrailerBegin.size(), 33), " (length, XXH3), found ",
                                Json(found.substr(kTrailerBegin.size(), 33)).dump())
                          : ""));
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  Json tree = Json::object();
  tree["format"] = kFormat;
  tree["version"] = kFormatVersion;
  tree["min_reader_version"] = kMinReaderVersion;
  tree["step"] = manifest.step;
  tree["finite"] = true;  // a save of anything else is refused
  tree["state_hash"] = manifest.state_hash.str();
  tree["info"] = manifest.info;
  Json files = Json::array();
  for (const FileRecord& file : manifest.files) files.push_back(file_json(file));
  tree["files"] = std::move(files);
  for (const auto& [key, tensors] :
       {std::pair("weights", &manifest.weights), std::pair("optimizer", &manifest.optimizer)}) {
    Json list = Json::array();
    for (const TensorRecord& tensor : *tensors) list.push_back(tensor_json(tensor));
    tree[key] = std::move(list);
  }
  std::string text = "{";
  for (const auto& [key, value] : tree.members()) {  // a line an entry of the top two levels: readable, and not long
    text += cat(text.size() > 1 ? "," : "", "\n ", Json(key).dump(), ": ");
    if (!value.is_array()) {
      text += value.dump();
      continue;
    }
    const char* separator = "[\n  ";
    for (const Json& item : value.items()) text += cat(std::exchange(separator, ",\n  "), item.dump());
    text += value.size() == 0 ? "[]" : "]";
  }
  return text + trailer_of(text);
}

static Manifest parse(std::string_view text, const std::string& where, bool whole_tensors) {
  check_trailer(text, where);
  const Json tree = Json::parse(text, where);
  try {
    if (tree.at("format").as_string() != kFormat) throw ConfigError(cat("the format is not '", kFormat, "'"));
    if (tree.at("min_reader_version").as_integer() > kFormatVersion)
      throw ConfigError(cat("written in format ", tree.at("version").as_integer(), ", which needs a reader of version ",
                            tree.at("min_reader_version").as_integer(), ", this one has ", kFormatVersion,
                            "; use a newer trireme"));
    if (!tree.at("finite").as_bool()) throw ConfigError("it holds NaN or Inf");
    Manifest manifest;
    manifest.step = natural(tree.at("step"));
    manifest.state_hash = hash_from(tree.at("state_hash").as_string());
    manifest.info = tree.at("info");
    for (const Json& file : tree.at("files").items()) manifest.files.push_back(file_from(file));
    manifest.weights = tensors_from(tree.at("weights"), manifest.files, whole_tensors);
    manifest.optimizer = tensors_from(tree.at("optimizer"), manifest.files, whole_tensors);
    return manifest;
  } catch (const ConfigError& e) {
    throw IoError(cat(where, ": ", e.what()));
  }
}

Manifest parse_manifest(std::string_view text, const std::string& where) { return parse(text, where, true); }
Manifest parse_partial_manifest(std::string_view text, const std::string& where) { return parse(text, where, false); }

void merge(Manifest& into, const Manifest& part) {
  const size_t first_file = into.files.size();
  into.files.insert(into.files.end(), part.files.begin(), part.files.end());
  into.state_hash.add(part.state_hash);
  for (auto [all, added] : {std::pair(&into.weights, &part.weights), std::pair(&into.optimizer, &part.optimizer)}) {
    std::map<std::string_view, size_t> places;
    for (size_t i = 0; i < all->size(); ++i) places[(*all)[i].name] = i;
    const size_t known = all->size();
    std::vector<TensorRecord> fresh;
    for (TensorRecord tensor : *added) {
      for (PartRecord& p : tensor.parts) p.file += first_file;
      const auto place = places.find(tensor.name);
      if (place == places.end()) {
        fresh.push_back(std::move(tensor));
        continue;
      }
      TensorRecord& same = (*all)[place->second];
      CHECK(place->second < known && same.dtype == tensor.dtype && same.shape == tensor.shape, tensor.name);
      same.parts.insert(same.parts.end(), tensor.parts.begin(), tensor.parts.end());
    }
    all->insert(all->end(), fresh.begin(), fresh.end());
  }
}

}  // namespace trireme
