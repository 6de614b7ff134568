#include "checkpoint/manifest.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "checkpoint/sample.h"

namespace trireme {
namespace {

using testing::io_error;

Manifest sample() {
  Manifest m;
  m.step = 1200;
  m.state_hash = {0x0123456789ABCDEF, 0xFEDCBA9876543210};
  m.info["tokens"] = 5;
  m.files = {{"config.json", 10, {7}}, {"optimizer.safetensors", kBlockBytes + 64, {8, 9}}};
  m.weights = {{"w", DType::bf16, {4, 3}, {{1, 16, {0, 2, 0, 3}}, {1, 40, {2, 2, 0, 3}}}}};
  m.optimizer = {{"w.exp_avg", DType::f32, {2}, {{1, 52, {0, 2, 0, 1}}}}};
  return m;
}

TEST(Manifest, ComesBackAsItWas) {
  const std::string text = manifest_text(sample());
  const Manifest read = parse_manifest(text, "m");
  EXPECT_EQ(manifest_text(read), text);
  EXPECT_EQ(read.step, 1200);
  EXPECT_EQ(read.state_hash.str(), "fedcba98765432100123456789abcdef");
  EXPECT_EQ(read.files[1].blocks, (std::vector<uint64_t>{8, 9}));
  EXPECT_EQ(read.weights[0].parts[1].box.row, 2);
  EXPECT_EQ(Json::parse(text, "m").at("version").as_integer(), kFormatVersion);  // plain JSON for other tools
}

TEST(Manifest, EveryCutAndEveryFlippedBitIsRecognised) {
  const std::string text = manifest_text(sample());
  for (size_t size = 0; size < text.size(); ++size)
    ASSERT_NE(io_error([&] { parse_manifest(text.substr(0, size), "m"); }), "") << size;
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string damaged = text;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_NE(io_error([&] { parse_manifest(damaged, "m"); }).find("m: "), std::string::npos) << "bit " << bit;
  }
  EXPECT_NE(io_error([&] { parse_manifest(text + " ", "m"); }), "");
}

/// The text with a change, under a trailer that fits: what a malicious or foreign writer could make.
std::string refusal(const std::function<void(Manifest&)>& change, const std::string& from = "",
                    const std::string& to = "") {
  Manifest m = sample();
  change(m);
  std::string text = manifest_text(m);
  if (!from.empty()) {
    std::string body = text.substr(0, text.rfind(",\n \"trailer\""));
    body.replace(body.find(from), from.size(), to);
    text =
        cat(body, ",\n \"trailer\": \"", hex(body.size()), " ", hex(hash64(std::as_bytes(std::span(body)))), "\"\n}\n");
  }
  return io_error([&] { parse_manifest(text, "m"); });
}

TEST(Manifest, RefusesWhatDoesNotFitTogether) {
  const auto part = [](auto change) { return refusal([&](Manifest& m) { change(m.weights[0].parts[1]); }); };
  EXPECT_NE(part([](PartRecord& p) { p.file = 2; }).find("file 2 of 2"), std::string::npos);
  EXPECT_NE(part([](PartRecord& p) { p.offset = kBlockBytes + 60; }).find("not within"), std::string::npos);
  EXPECT_NE(part([](PartRecord& p) { p.offset = UINT64_MAX / 2; }).find("not within"), std::string::npos);
  EXPECT_NE(part([](PartRecord& p) { p.box.row = 1; }).find("overlaps"), std::string::npos);
  EXPECT_NE(part([](PartRecord& p) { p.box.rows = 1; }).find("hold 9 of 12"), std::string::npos);
  EXPECT_NE(part([](PartRecord& p) { p.box.rows = 3; }).find("is not within (4, 3)"), std::string::npos);
  EXPECT_NE(part([](PartRecord& p) { p.box.row = INT64_MAX; }).find("is not within"), std::string::npos);
  EXPECT_NE(part([](PartRecord& p) { p.box.row = -1; }).find("expected 0 or more"), std::string::npos);
  EXPECT_NE(refusal([](Manifest& m) { m.weights.push_back(m.weights[0]); }).find("twice"), std::string::npos);
  EXPECT_NE(refusal([](Manifest& m) { m.files[0].blocks.push_back(1); }).find("block hashes"), std::string::npos);
  EXPECT_NE(refusal([](Manifest& m) { m.files[0].name = "../../secret"; }).find("no name of a file"),
            std::string::npos);
  const auto same = [](Manifest&) {};
  EXPECT_NE(refusal(same, "\"min_reader_version\": 1", "\"min_reader_version\": 2").find("newer trireme"),
            std::string::npos);
  EXPECT_NE(refusal(same, "\"finite\": true", "\"finite\": false").find("NaN"), std::string::npos);
  EXPECT_NE(refusal(same, "trireme checkpoint", "another").find("format"), std::string::npos);
  EXPECT_NE(refusal(same, "\"shape\":[4,3]", "\"shape\":[4294967296,4294967296]").find("overflow"), std::string::npos);
  EXPECT_NE(refusal(same, "\"shape\":[4,3]", "\"shape\":[0,4294967296,4294967296]").find("overflow"),
            std::string::npos);
  EXPECT_NE(refusal(same, "\"step\"", "\"stop\"").find("'step' is missing"), std::string::npos);
  EXPECT_EQ(refusal(same), "");
}

}  // namespace
}  // namespace trireme
