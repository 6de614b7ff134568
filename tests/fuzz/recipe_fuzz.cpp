// Any bytes as a recipe, in memory and as a file, and any line of them as a command-line word: they are refused with a
// ConfigError or give a config that prints to a recipe which reads back equal.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "app/run_config.h"
#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "models/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  RunConfig config;
  try {
    config = parse_recipe(text, "recipe");
  } catch (const ConfigError&) {
    for (const std::string& word : split(text.substr(0, 4096), '\n')) {
      try {
        apply_override(config, word);
      } catch (const ConfigError&) {}
    }
  }
  const std::string printed = dump_recipe(config);
  if (dump_recipe(parse_recipe(printed, "printed")) != printed) std::abort();
  try {
    static const std::string kPath = "/dev/shm/trireme-fuzz-recipe-" + std::to_string(getpid()) + ".yaml";
    write_file(kPath, printed);
    for (const int world_size : {1, 6}) recipe_hash(load_recipe(kPath, {}, world_size));
    std::remove(kPath.c_str());
  } catch (const ConfigError&) {}
  if (text.starts_with("keys")) describe_keys();
  try {
    ModelConfig::from_json(config.model);
  } catch (const ConfigError&) {}
  return 0;
}
