#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/sample.h"
#include "checkpoint/shards.h"

namespace trireme {
namespace {

using testing::io_error;

const std::string kGolden = std::string(TRIREME_SOURCE_DIR) + "/tests/checkpoint/golden/official.safetensors";

/// A file of this header and so many bytes of data.
std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data_bytes, '\1');
}

std::string refusal(const std::string& file) {
  return io_error([&] { parse_safetensors(file, "x.safetensors"); });
}

TEST(Safetensors, ReadsTheOfficialWritersFile) {
  const SafetensorsFile file(kGolden);
  ASSERT_EQ(file.header().entries.size(), 10U);
  EXPECT_EQ(file.header().metadata, (std::vector<std::pair<std::string, std::string>>{{"format", "pt"}}));
  bool seen = false;
  for (const SafetensorsEntry& e : file.header().entries) {
    if (e.name != "model.norm.weight") continue;
    seen = true;
    EXPECT_EQ(e.type, "F32");
    EXPECT_EQ(e.shape, (std::vector<int64_t>{2, 3}));
    float values[6];
    ASSERT_EQ(file.bytes(e).size(), sizeof values);
    std::memcpy(values, file.bytes(e).data(), sizeof values);
    EXPECT_EQ(values[0], 0.5F);
    EXPECT_EQ(values[5], 5.5F);
  }
  EXPECT_TRUE(seen);
}

TEST(Safetensors, PlansTheOfficialWritersBytes) {
  const SafetensorsFile file(kGolden);
  std::vector<SafetensorsTensor> tensors;
  for (const SafetensorsEntry& e : file.header().entries) {
    Shape shape;
    for (const int64_t size : e.shape) shape[shape.rank++] = size;
    tensors.insert(tensors.begin(), {e.name, *e.dtype, shape});  // in another order
  }
  const SafetensorsPlan plan = plan_safetensors(tensors, file.header().metadata);
  const std::string official = read_file(kGolden);
  EXPECT_EQ(plan.header, official.substr(0, plan.header.size()));
  EXPECT_EQ(plan.file_bytes, official.size());
  for (const SafetensorsEntry& e : file.header().entries)
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].name != e.name) continue;
      EXPECT_EQ(plan.offsets[i], e.begin) << e.name;
    }
}

TEST(Safetensors, RefusesEveryTruncationAndExtension) {
  const std::string whole = read_file(kGolden);
  for (size_t size = 0; size < whole.size(); ++size) ASSERT_NE(refusal(whole.substr(0, size)), "") << size << " bytes";
  EXPECT_EQ(refusal(whole), "");
  EXPECT_NE(refusal(whole + "x").find("735"), std::string::npos);
}

struct Malformed {
  std::string header;
  size_t data_bytes;
  std::string reason;  // part of the message
};

TEST(Safetensors, NamesWhatIsWrongWithAHeader) {
  const std::string a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const std::vector<Malformed> cases{
      {"", 0, "expected '{' at byte 8"},
      {" {}", 0, "expected '{' at byte 8"},
      {"{" + a, 4, "header"},
      {"{" + a + "}x", 4, "header"},
      {"{" + a + "," + a + "}", 4, "twice"},
      {R"({"a":7})", 0, "tensor \"a\""},
      {R"({"a":{"shape":[4],"data_offsets":[0,4]}})", 4, "'dtype' is missing"},
      {R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", 4, "'shape' is missing"},
      {R"({"a":{"dtype":"U8","shape":[4]}})", 4, "'data_offsets' is missing"},
      {R"({"a":{"dtype":"Q7","shape":[4],"data_offsets":[0,4]}})", 4, "unknown dtype \"Q7\""},
      {R"({"a":{"dtype":5,"shape":[4],"data_offsets":[0,4]}})", 4, "expected a string"},
      {R"({"a":{"dtype":"U8","shape":4,"data_offsets":[0,4]}})", 4, "expected a list"},
      {R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4, "found -4"},
      {R"({"a":{"dtype":"U8","shape":[4.5],"data_offsets":[0,4]}})", 4, "found 4.5"},
      {R"({"a":{"dtype":"U8","shape":["4"],"data_offsets":[0,4]}})", 4, "expected a size"},
      {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4, "overflows"},
      {R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0, "overflows"},
      {R"({"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,4]}})", 4, "expected a size"},
      {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2, "do not end on a byte"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0]}})", 4, "expected 2 data_offsets, found 1"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4, "are not within the 4 bytes"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,5]}})", 4, "are not within the 4 bytes"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,3]}})", 4, "span 3 bytes, dtype and shape make 4"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})", 4, "(hole)"},
      {"{" + a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})", 5, "(overlap)"},
      {"{" + a + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})", 6, "(hole)"},
      {"{" + a + "}", 5, "the file has"},
      {"{}", 1, "the file has"},
      {R"({"__metadata__":{"format":1}})", 0, "expected a string"},
      {R"({"__metadata__":[]})", 0, "expected a mapping"},
  };
  for (const Malformed& c : cases) {
    const std::string message = refusal(file_of(c.header, c.data_bytes));
    EXPECT_NE(message.find(c.reason), std::string::npos) << c.header << "\n" << message;
    EXPECT_NE(message.find("x.safetensors"), std::string::npos) << message;
  }
  EXPECT_EQ(refusal(file_of("{" + a + "}   ", 4)), "");  // padded with spaces
  EXPECT_EQ(refusal(file_of(R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", 2)), "");
}

TEST(Safetensors, RefusesHeadersLargerThanFileOrLimit) {
  std::string file = file_of("{}", 0);
  for (const uint64_t length : {uint64_t{3}, uint64_t{1} << 20, uint64_t{100'000'001}, UINT64_MAX, UINT64_MAX - 7}) {
    std::memcpy(file.data(), &length, 8);
    EXPECT_NE(refusal(file).find(std::to_string(length)), std::string::npos);
  }
}

TEST(Safetensors, SurvivesRandomDamage) {
  const std::string whole = read_file(kGolden);
  std::mt19937_64 random(3);
  int accepted = 0;
  for (int trial = 0; trial < 20'000; ++trial) {
    std::string file = whole;
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
      const size_t at = random() % file.size();
      switch (random() % 4) {
        case 0: file[at] = static_cast<char>(random()); break;
        case 1: file[at] = "0123456789{}[],:\""[random() % 17]; break;
        case 2: file.erase(at, 1 + random() % 3); break;
        default: file.insert(at, 1, static_cast<char>('0' + random() % 10));
      }
    }
    try {
      for (const SafetensorsEntry& e : parse_safetensors(file, "x").entries) {
        ASSERT_LE(e.begin, e.end);
        ASSERT_LE(e.end, file.size());
      }
      ++accepted;
    } catch (const IoError&) {}
  }
  EXPECT_GT(accepted, 100);  // of damage to data or names
}

TEST(Shards, AreCutAtTheLimit) {
  const std::vector<uint64_t> sizes{4, 4, 4, 20, 1, 1};
  EXPECT_EQ(cut_into_shards(sizes, 8), (std::vector<std::vector<size_t>>{{0, 1}, {2}, {3}, {4, 5}}));
  EXPECT_EQ(cut_into_shards(sizes, 100).size(), 1U);
  EXPECT_EQ(cut_into_shards({}, 8).size(), 1U);
  EXPECT_EQ(shard_name(0, 1), "model.safetensors");
  EXPECT_EQ(shard_name(1, 12), "model-00002-of-00012.safetensors");
}

TEST(WeightFiles, ReadWholeAndShardedDirectories) {
  testing::SampleState state;
  for (const uint64_t limit : {uint64_t{10}, uint64_t{1} << 30}) {
    const testing::TempDir dir;
    CheckpointContent content = state.content();
    content.shard_bytes = limit;
    const SavedCheckpoint saved = save_checkpoint(dir.path("run"), 7, content, real_file_system(), nullptr);
    EXPECT_EQ(std::filesystem::exists(saved.path + "/model.safetensors.index.json"), limit == 10);
    const WeightFiles files(saved.path);
    EXPECT_EQ(files.names(), (std::vector<std::string>{"model.a.weight", "model.b.bias"}));
    testing::SampleState read(0);
    files.at("model.a.weight").read(read.matrix_view());
    files.at("model.b.bias").read(read.vector_view());
    EXPECT_EQ(read.matrix, state.matrix);
    EXPECT_EQ(read.vector, state.vector);
    EXPECT_FALSE(files.find("model.c"));
    EXPECT_NE(io_error([&] { files.at("model.c"); }).find("model.c is missing"), std::string::npos);
  }
}

TEST(WeightFiles, RefuseAnIndexThatDoesNotFit) {
  const testing::TempDir dir;
  std::filesystem::copy(kGolden, dir.path("model-1.safetensors"));
  const std::string index = dir.path("model.safetensors.index.json");
  const auto refusal_of = [&](const std::string& text) {
    testing::overwrite(index, text);
    return io_error([&] { WeightFiles files(dir.path()); });
  };
  EXPECT_NE(io_error([&] { WeightFiles files(dir.path()); }).find("found neither"), std::string::npos);
  EXPECT_EQ(refusal_of(R"({"weight_map":{"b.brain":"model-1.safetensors"}})"), "");
  EXPECT_NE(refusal_of(R"({"weight_map":{"zz":"model-1.safetensors"}})").find("zz is not in model-1"),
            std::string::npos);
  EXPECT_NE(refusal_of(R"({"weight_map":{"zz":"model-2.safetensors"}})").find("model-2"), std::string::npos);
  EXPECT_NE(refusal_of(R"({"weight_map":{"zz":"../model-1.safetensors"}})").find("no name of a file"),
            std::string::npos);
  EXPECT_NE(refusal_of(R"({"weight_map":[]})").find("expected a mapping"), std::string::npos);
  EXPECT_NE(refusal_of("{}").find("weight_map"), std::string::npos);
}

}  // namespace
}  // namespace trireme
