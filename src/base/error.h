// Errors: what went wrong, for whom. The type says who has to act, the text says where, what was
// expected, what came and what to do. Only main() turns an error into an exit code.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace trireme {

/// Joins its arguments as text: cat("rank ", 3, " of ", 4).
template <class... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The user wrote something that cannot work: a key, a value, an argument. Exit code 2.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// A file or the network failed, or its content is not what it claims to be. Exit code 1.
class IoError : public Error {
 public:
  using Error::Error;
};

/// A device or its library failed. Exit code 1.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// Numbers went wrong while training: NaN, Inf. Exit code 1.
class NumericError : public Error {
 public:
  using Error::Error;
};

/// A programmer's mistake; never caused by input. Exit code 1.
class Bug : public Error {
 public:
  using Error::Error;
};

[[noreturn]] void throw_bug(const char* file, int line, const char* condition, const std::string& detail);

/// Throws Bug unless `condition` holds; the further arguments are joined as in cat(), only on failure.
#define CHECK(condition, ...)                                                            \
  do {                                                                                   \
    if (!(condition)) [[unlikely]]                                                       \
      ::trireme::throw_bug(__FILE__, __LINE__, #condition, ::trireme::cat(__VA_ARGS__)); \
  } while (false)

}  // namespace trireme
