// Any bytes as a recipe, and any line of them as a command-line word: they are refused with a ConfigError or give a
// config that prints to a recipe which reads back equal.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "app/run_config.h"
#include "base/error.h"
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
    ModelConfig::from_json(config.model);
  } catch (const ConfigError&) {}
  return 0;
}
