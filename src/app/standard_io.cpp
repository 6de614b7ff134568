#include "app/standard_io.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace trireme {

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw IoError(cat("cannot write to standard output: ", std::strerror(errno)));
  }
}

std::string read_input(const std::string& path) {
  if (path != "-") return read_file(path);
  std::string text;
  std::array<char, 1 << 16> part{};
  while (const size_t size = std::fread(part.data(), 1, part.size(), stdin)) text.append(part.data(), size);
  if (std::ferror(stdin)) throw IoError(cat("cannot read standard input: ", std::strerror(errno)));
  return text;
}

}  // namespace trireme
