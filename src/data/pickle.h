// The integers of a list that Python has pickled (protocols 0 to 5), one after the other with constant memory. Of the
// opcodes only those are known that such a list needs; nothing is ever executed.
#pragma once

#include <memory>
#include <optional>

#include "data/text_cursor.h"

namespace trireme {

class PickledIntegers {
 public:
  explicit PickledIntegers(std::unique_ptr<ByteStream> stream) : cursor_(std::move(stream)) {}

  /// The next one, or none behind the last. IoError naming file and byte for anything but a list of integers of at most
  /// 64 bits.
  std::optional<int64_t> next();
  void restart() { cursor_.seek(0); }
  uint64_t position() const { return cursor_.position(); }
  const std::string& name() const { return cursor_.name(); }

 private:
  /// Takes `bytes` little-endian ones.
  uint64_t take(size_t bytes);
  int64_t take_line();
  [[noreturn]] void fail(const std::string& detail) const;

  TextCursor cursor_;
};

}  // namespace trireme
