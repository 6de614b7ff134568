#include "train/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace trireme {
namespace {

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// Appends protobuf fields to a string.
class Message {
 public:
  Message& integer(uint32_t field, int64_t value) {
    varint(field << 3 | kVarint);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& real64(uint32_t field, double value) {
    varint(field << 3 | kFixed64);
    fixed(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  Message& real32(uint32_t field, float value) {
    varint(field << 3 | kFixed32);
    fixed(std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  Message& bytes(uint32_t field, std::string_view value) {
    varint(field << 3 | kBytes);
    varint(value.size());
    text_ += value;
    return *this;
  }
  Message& fixed(uint64_t value, int width) {
    for (int i = 0; i < width; ++i) text_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Message event_at(int64_t step) {
  Message event;
  event.real64(1, wall_time()).integer(2, step);
  return event;
}

/// TensorBoard reads the files of a folder in order of their names: time first, to the microsecond.
std::string file_name() {
  std::array<char, 128> name{}, host{};
  if (gethostname(host.data(), host.size() - 1) != 0) std::strcpy(host.data(), "localhost");
  std::snprintf(name.data(), name.size(), "events.out.tfevents.%017.6f.%.64s", wall_time(), host.data());
  return name.data();
}

}  // namespace

uint32_t masked_crc32c(std::span<const std::byte> bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8; }

EventsWriter::EventsWriter(const std::string& folder, int64_t resumed_step) {
  real_file_system().make_directory(folder);
  path_ = folder + "/" + file_name();
  file_.reset(std::fopen(path_.c_str(), "wbx"));
  if (!file_) throw IoError(cat("cannot create ", path_, ": ", std::strerror(errno)));
  record(event_at(0).bytes(3, "brain.Event:2").text());
  if (resumed_step > 0) {
    constexpr int64_t kSessionStart = 1;
    record(event_at(resumed_step + 1).bytes(7, Message().integer(1, kSessionStart).text()).text());
  }
  flush();
}

void EventsWriter::scalar(std::string_view tag, int64_t step, double value) {
  const Message point = Message().bytes(1, tag).real32(2, static_cast<float>(value));
  const Message summary = Message().bytes(1, point.text());
  record(event_at(step).bytes(5, summary.text()).text());
}

void EventsWriter::record(std::string_view event) {
  const auto masked = [](std::string_view text) {
    return masked_crc32c(std::as_bytes(std::span(text.data(), text.size())));
  };
  const std::string length = Message().fixed(event.size(), 8).text();
  const std::string head = length + Message().fixed(masked(length), 4).text();
  const std::string tail = Message().fixed(masked(event), 4).text();
  for (const std::string_view part : {std::string_view(head), event, std::string_view(tail)}) {
    if (std::fwrite(part.data(), 1, part.size(), file_.get()) != part.size()) {
      throw IoError(cat("cannot write ", path_, ": ", std::strerror(errno)));
    }
  }
}

void EventsWriter::flush() {
  if (std::fflush(file_.get()) != 0) throw IoError(cat("cannot write ", path_, ": ", std::strerror(errno)));
}

}  // namespace trireme
