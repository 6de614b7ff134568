#include "app/run_config.h"

#include <algorithm>
#include <filesystem>

#include "app/pick_device.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "base/yaml.h"

namespace trireme {
namespace {

constexpr std::string_view kModelSection = "model";
constexpr std::string_view kModelDoc =
    "The model: a Hugging Face config.json key, or the name of a preset as `model: gpt2-124m` or `model.preset`.";

std::string at_line(const std::string& where, int line) { return line > 0 ? cat(where, ":", line) : where; }

/// The keys worth naming beside `key`: the same name in another section, else the keys of its section, else sections.
std::string suggest(const std::vector<Field>& fields, std::string_view key) {
  const std::string_view section = key.substr(0, key.find('.'));
  const std::string_view name = key.substr(key.rfind('.') + 1);
  std::vector<std::string_view> in_section, sections = {kModelSection};
  for (const Field& field : fields) {
    if (field.name() == name && key != field.section()) return cat(", did you mean '", field.key, "'?");
    if (field.section() == section) in_section.push_back(field.key);
    if (field.section() != sections.back()) sections.push_back(field.section());
  }
  const bool known_section = !in_section.empty() && key.find('.') != std::string_view::npos;
  return did_you_mean(known_section ? key : section, known_section ? in_section : sections);
}

class Reader {
 public:
  Reader(RunConfig& config, std::string where)
      : config_(config), fields_(recipe_fields(config)), where_(std::move(where)) {}

  void read(const Json& recipe) {
    if (!recipe.is_object())
      throw ConfigError(cat(where_, ": expected `section:` lines, got a ", kind_name(recipe.kind())));
    for (const auto& [key, value] : recipe.members()) {
      if (key == kModelSection) {
        set_model(value);
      } else if (is_section(key) || (value.is_object() && find(key) == nullptr)) {
        read_section(key, value);
      } else {
        set(key, value);
      }
    }
  }

  void set(const std::string& key, const Json& value) {
    const Field* field = find(key);
    if (field == nullptr)
      throw ConfigError(cat(at_line(where_, value.line), ": unknown key '", key, "'", suggest(fields_, key)));
    try {
      field->set(value);
    } catch (const ConfigError& error) {
      throw ConfigError(cat(at_line(where_, value.line), ": ", key, ": ", error.what()));
    }
  }

  void set_model(const Json& value) {
    if (value.is_string()) {
      config_.model = Json::object();
      config_.model["preset"] = value;
    } else if (value.is_object()) {
      config_.model = value;
    } else {
      throw ConfigError(cat(at_line(where_, value.line),
                            ": model: expected the name of a preset or Hugging Face config "
                            "keys; got ",
                            value.is_null() ? "nothing" : value.dump()));
    }
  }

  const Field* find(std::string_view key) const {
    const auto found = std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.key == key; });
    return found == fields_.end() ? nullptr : &*found;
  }

 private:
  bool is_section(std::string_view name) const {
    return std::any_of(fields_.begin(), fields_.end(),
                       [&](const Field& f) { return f.key != f.section() && f.section() == name; });
  }

  void read_section(const std::string& section, const Json& value) {
    if (!is_section(section)) {
      throw ConfigError(
          cat(at_line(where_, value.line), ": unknown section '", section, "'", suggest(fields_, section)));
    }
    if (value.is_null()) return;  // "log:" with nothing below it
    if (!value.is_object()) {
      throw ConfigError(
          cat(at_line(where_, value.line), ": ", section, ": expected `key: value` lines; got ", value.dump()));
    }
    for (const auto& [key, item] : value.members()) set(cat(section, ".", key), item);
  }

  RunConfig& config_;
  std::vector<Field> fields_;
  std::string where_;
};

void derive(RunConfig& config, const std::string& recipe_path, int world_size) {
  namespace fs = std::filesystem;
  if (!config.device) config.device = world_size > 1 ? DeviceKind::cpu : pick_device("auto").kind;
  if (config.run.name.empty()) config.run.name = fs::path(recipe_path).stem().string();
  if (config.run.dir.empty()) config.run.dir = "runs/" + config.run.name;
  if (config.tokenizer.path.empty()) config.tokenizer.path = config.run.dir + "/tokenizer";
  if (config.data.prefix.empty() && config.data.blend.empty()) config.data.prefix = config.run.dir + "/data/tokens";
  ParallelConfig& p = config.parallel;
  if (p.data == 0) p.data = std::max<int64_t>(1, world_size / (p.tensor * p.pipeline * p.context));
  DataConfig& d = config.data;
  if (d.global_batch_size == 0) {  // that of one process, so that a training does not depend on its layout
    d.global_batch_size = d.micro_batch_size;
    if (d.micro_batch_size % p.data == 0) d.micro_batch_size /= p.data;
  }
}

}  // namespace

RunConfig parse_recipe(std::string_view text, const std::string& where) {
  RunConfig config;
  Reader(config, where).read(parse_yaml(text, where));
  return config;
}

void apply_override(RunConfig& config, const std::string& word) {
  const std::string where = "command line";
  const size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError(cat("command line: expected section.key=value, got '", word, "'"));
  }
  const std::string key = word.substr(0, equals), text = word.substr(equals + 1);
  Reader reader(config, where);
  const Field* field = reader.find(key);
  const bool quoted = starts_with(text, "\"") || starts_with(text, "'");
  Json value = field != nullptr && field->text && !quoted ? Json(text) : parse_yaml(text, cat(where, ": ", key));
  value.line = 0;
  if (key == kModelSection) return reader.set_model(value);
  if (starts_with(key, "model.")) {
    config.model[key.substr(key.find('.') + 1)] = std::move(value);
    return;
  }
  reader.set(key, value);
}

RunConfig load_recipe(const std::string& path, std::span<const std::string> overrides, int world_size) {
  RunConfig config = parse_recipe(read_file(path, kLargestRecipe), path);
  for (const std::string& word : overrides) apply_override(config, word);
  derive(config, path, world_size);
  return config;
}

std::string dump_recipe(const RunConfig& config) {
  RunConfig copy = config;
  Json tree = Json::object();
  for (const Field& field : recipe_fields(copy)) {
    if (field.section() == "tokenizer" && tree.find(kModelSection) == nullptr) tree[kModelSection] = copy.model;
    if (field.section() == field.key) {
      tree[field.key] = field.get();
    } else {
      tree[field.section()][field.name()] = field.get();
    }
  }
  return dump_yaml(tree);
}

std::string recipe_hash(const RunConfig& config) {
  const std::string text = dump_recipe(config);
  return hex(hash64(std::as_bytes(std::span(text.data(), text.size()))));
}

std::string describe_keys() {
  RunConfig defaults;
  std::string out = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n";
  out += cat("| `model` | preset or section | | ", kModelDoc, " |\n");
  for (const Field& field : recipe_fields(defaults)) {
    std::string value;  // with the bars escaped that would end the cell
    for (const std::string& part : split(field.value, '|')) value += cat(value.empty() ? "" : "\\|", part);
    out += cat("| `", field.key, "` | ", value, " | `", field.get().dump(), "` | ", field.doc, " |\n");
  }
  return out;
}

}  // namespace trireme
