#include "train/tensorboard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

/// What one Event says, as read back by a decoder that shares nothing with the writer.
struct Event {
  double wall_time = 0;
  int64_t step = 0;
  std::string file_version, tag;
  float value = 0;
  int64_t session_status = 0;
};

class Decoder {
 public:
  explicit Decoder(std::string_view text) : text_(text) {}
  bool done() const { return at_ == text_.size(); }
  uint64_t fixed(size_t width) {
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(text_.at(at_ + i))) << (8 * i);
    at_ += width;
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(text_.at(at_++));
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  }
  std::string_view bytes(size_t size) {
    if (size > text_.size() - at_) throw std::runtime_error("short");
    at_ += size;
    return text_.substr(at_ - size, size);
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

void decode(std::string_view message, int depth, Event& event) {
  Decoder in(message);
  while (!in.done()) {
    const uint64_t key = in.varint();
    const auto here = static_cast<int>(100 * depth + static_cast<int>(key >> 3));
    if ((key & 7) == 1 && here == 1)
      event.wall_time = std::bit_cast<double>(in.fixed(8));
    else if ((key & 7) == 0 && here == 2)
      event.step = static_cast<int64_t>(in.varint());
    else if ((key & 7) == 2 && here == 3)
      event.file_version = in.bytes(in.varint());
    else if ((key & 7) == 2 && (here == 5 || here == 101))
      decode(in.bytes(in.varint()), depth + 1, event);
    else if ((key & 7) == 2 && here == 7)
      decode(in.bytes(in.varint()), 7, event);
    else if ((key & 7) == 0 && here == 701)
      event.session_status = static_cast<int64_t>(in.varint());
    else if ((key & 7) == 2 && here == 201)
      event.tag = in.bytes(in.varint());
    else if ((key & 7) == 5 && here == 202)
      event.value = std::bit_cast<float>(static_cast<uint32_t>(in.fixed(4)));
    else
      throw std::runtime_error(cat("field ", here, " of wire type ", key & 7));
  }
}

uint32_t masked(std::string_view text) { return masked_crc32c(std::as_bytes(std::span(text.data(), text.size()))); }

std::vector<Event> read_events(const std::string& path) {
  const std::string text = read_file(path);
  Decoder in(text);
  std::vector<Event> events;
  for (size_t at = 0; !in.done();) {
    const uint64_t size = in.fixed(8);
    if (in.fixed(4) != masked(std::string_view(text).substr(at, 8))) throw std::runtime_error("length checksum");
    const std::string_view body = in.bytes(size);
    if (in.fixed(4) != masked(body)) throw std::runtime_error("body checksum");
    at += 16 + size;
    decode(body, 0, events.emplace_back());
  }
  return events;
}

TEST(TensorBoard, ChecksumsFollowThePublishedVectors) {
  const std::string nine = "123456789";
  const uint32_t crc = crc32c(std::as_bytes(std::span(nine.data(), nine.size())));
  EXPECT_EQ(crc, 0xE3069283U);
  EXPECT_EQ(masked(nine), ((crc >> 15) | (crc << 17)) + 0xA282EAD8U);
}

TEST(TensorBoard, ScalarsReadBack) {
  const testing::TempDir dir;
  EventsWriter writer(dir.path("a/b"), 0);
  writer.scalar("train/loss", 1, 6.25);
  writer.scalar("train/loss", int64_t{1} << 40, 1.0 / 3);
  writer.scalar("train/lr", 300, std::nan(""));
  writer.flush();
  const std::vector<Event> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");
  EXPECT_EQ(events[1].tag, "train/loss");
  EXPECT_EQ(events[1].step, 1);
  EXPECT_EQ(events[1].value, 6.25F);
  EXPECT_GT(events[1].wall_time, 1.6e9);
  EXPECT_EQ(events[2].step, int64_t{1} << 40);
  EXPECT_EQ(events[2].value, static_cast<float>(1.0 / 3));
  EXPECT_EQ(events[3].tag, "train/lr");
  EXPECT_TRUE(std::isnan(events[3].value));
}

TEST(TensorBoard, AResumedRunAsksForLaterStepsToBeForgotten) {
  const testing::TempDir dir;
  EventsWriter writer(dir.path(), 70);
  const std::vector<Event> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].session_status, 1);
  EXPECT_EQ(events[1].step, 71);
}

TEST(TensorBoard, LaterFilesSortAfterEarlierOnes) {
  const testing::TempDir dir;
  const EventsWriter first(dir.path(), 0), second(dir.path(), 5);
  EXPECT_LT(first.path(), second.path());
  EXPECT_EQ(std::filesystem::path(first.path()).filename().string().rfind("events.out.tfevents.", 0), 0U);
}

TEST(TensorBoard, AFolderThatCannotBeMadeIsAnIoError) {
  const testing::TempDir dir;
  write_file(dir.path("file"), "");
  EXPECT_THROW(EventsWriter(dir.path("file"), 0), IoError);
}

}  // namespace
}  // namespace trireme
