#include "base/error.h"

#include <string_view>

namespace trireme {

void throw_bug(const char* file, int line, const char* condition, const std::string& detail) {
  std::string_view path(file);
  const size_t src = path.rfind("src/");
  if (src != std::string_view::npos) path.remove_prefix(src);
  throw Bug(cat(path, ":", line, ": ", condition, " does not hold", detail.empty() ? "" : ": ", detail,
                ". This is a mistake in trireme; please report it with the recipe."));
}

}  // namespace trireme
