// Any bytes as a chat template and its variables: TEMPLATE \0 JSON. They are refused with a ConfigError or IoError, or
// rendered within the limits, twice to the same text.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "chat/template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find('\0');
  constexpr jinja::Limits kLimits{.steps = 200'000, .memory = 8 << 20, .output = 1 << 20};
  try {
    const Json variables = Json::parse(
        end == std::string_view::npos
            ? R"({"messages":[{"role":"user","content":"a <b> é"},{"role":"assistant","content":""}],"n":3})"
            : text.substr(end + 1),
        "variables");
    const Template chat(text.substr(0, end), "fuzz");
    const RenderedText first = chat.render(variables, 0, kLimits);
    if (first.text.size() > 9 << 20) std::abort();
    for (const auto& [from, to] : first.generated) {
      if (from > to) std::abort();
    }
    if (chat.render(variables, 0, kLimits).text != first.text) std::abort();
  } catch (const ConfigError&) {
  } catch (const IoError&) {}
  return 0;
}
