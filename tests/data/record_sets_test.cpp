// Folders that other systems prepared, and packed texts.
#include "data/record_sets.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "data/pickle.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

using Strings = std::vector<std::string>;
using testing::TempDir;

std::string from_hex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return out;
}

Strings read_all(DocumentReader& reader) {
  Strings out;
  for (std::string text; reader.next(text); text.clear()) out.push_back(text);
  return out;
}

std::string error_of(const std::string& path, const TextOptions& options = {}) {
  try {
    read_all(*open_documents(path, options));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// [3, 0, 300, 5] as Python's pickle writes it in the protocols 0 to 5.
const Strings kPickled = {
    "286c70300a49330a6149300a614933"
    "30300a6149350a612e",
    "5d7100284b034b004d2c014b05652e",
    "80025d7100284b034b004d2c014b05652e",
    "80035d7100284b034b004d2c014b05652e",
    "8004950e000000000000005d94284b034b004d2c014b05652e",
    "8005950e000000000000005d94284b034b004d2c014b05652e"};

TEST(Lazy, DocumentsByTheLengthsOfEveryProtocol) {
  const TempDir dir(testing::memory_folder());
  const std::string folder = dir.path("data.lazy"), body(300, 'm');
  std::filesystem::create_directory(folder);
  write_file(folder + "/data", "春" + body + "12345");
  for (const std::string& hex : kPickled) {
    write_file(folder + "/data.len.pkl", from_hex(hex));
    const auto reader = open_documents(folder, {});
    EXPECT_EQ(read_all(*reader), (Strings{"春", "", body, "12345"})) << hex;
    for (uint64_t from = 1; from <= 4; ++from) {
      const auto again = open_documents(folder, {});
      again->go_on(from);
      EXPECT_EQ(read_all(*again).size(), 4 - from) << hex;
    }
  }
  EXPECT_EQ(source_files(folder), (Strings{folder + "/data", folder + "/data.len.pkl"}));
}

TEST(Lazy, LengthsThatDoNotFitAreNamed) {
  const TempDir dir(testing::memory_folder());
  const std::string folder = dir.path("data.lazy");
  std::filesystem::create_directory(folder);
  write_file(folder + "/data.len.pkl", from_hex(kPickled[4]));
  write_file(folder + "/data", std::string(307, 'x'));
  EXPECT_NE(error_of(folder).find("data.len.pkl: byte 23: document 3 has 5 bytes, 4 of "), std::string::npos)
      << error_of(folder);
  write_file(folder + "/data", std::string(309, 'x'));
  EXPECT_NE(error_of(folder).find("/data: byte 308: all lengths together end here"), std::string::npos);
  const std::string whole = from_hex(kPickled[4]);
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file(folder + "/data.len.pkl", whole.substr(0, size));
    EXPECT_NE(error_of(folder), "") << size;
  }
  for (const char* bad : {"5d63", "5d4affffffff2e", "5d8a09", "5d49780a2e"}) {
    write_file(folder + "/data.len.pkl", from_hex(bad));
    EXPECT_NE(error_of(folder).find("data.len.pkl: byte "), std::string::npos) << bad;
  }
}

TEST(Lazy, WideIntegers) {
  const std::string bytes = from_hex("5d4a701101008a0600000000000180028a01ff8a002e");
  PickledIntegers list(memory_stream(bytes, "x"));
  EXPECT_EQ(list.next(), 70000);
  EXPECT_EQ(list.next(), int64_t{1} << 40);
  EXPECT_EQ(list.next(), -1);
  EXPECT_EQ(list.next(), 0);
  EXPECT_EQ(list.next(), std::nullopt);
}

std::string record(const std::string& text) {
  std::string out = "\x1F";
  const auto length = static_cast<uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&length), 4);
  return out + text;
}

std::string block(std::string records, size_t size) {
  records.resize(size, '\0');
  return records;
}

TEST(Blocks, RecordsOfAllFilesThatAreNotMasked) {
  const TempDir dir(testing::memory_folder());
  write_file(dir.path("one"), block(record(R"({"input":"<用户>a<AI>","output":"b"})"), 64) +
                                  block(record("plain") + record(R"({"input":"","output":"c"})"), 64));
  write_file(dir.path("two"), block(record("\"a string\""), 64));
  const auto line = [](const char* name, const char* mask, const char* size) {
    return cat("{\"file_name\": \"", name, "\", \"block_begin\": 0, \"block_end\": 2, \"nbytes\": 1, \"nlines\": 1, ",
               "\"mask\": ", mask, ", \"block_size\": ", size, "}\n");
  };
  write_file(dir.path("meta.bin"),
             line("one", "false", "64") + line("gone", "true", "64") + line("two", "false", "64"));
  const TextOptions options{"input+output", ""};
  const Strings expected = {"<用户>a<AI>b", "plain", "c", "a string"};
  const auto reader = open_documents(dir.path(), options);
  EXPECT_EQ(read_all(*reader), expected);
  EXPECT_EQ(source_files(dir.path()), (Strings{dir.path("meta.bin"), dir.path("one"), dir.path("two")}));
  const auto first = open_documents(dir.path(), options);
  std::string text;
  for (size_t i = 0; first->next(text); ++i, text.clear()) {
    const auto again = open_documents(dir.path(), options);
    again->go_on(first->position());
    EXPECT_EQ(read_all(*again), Strings(expected.begin() + static_cast<std::ptrdiff_t>(i) + 1, expected.end()));
  }

  EXPECT_NE(error_of(dir.path(), {"text", ""}).find("record at byte 0:1: this object has no key \"text\""),
            std::string::npos);
  for (const auto& [name, size] : {std::pair("../one", "64"), std::pair("one", "3"), std::pair("none", "64")}) {
    write_file(dir.path("meta.bin"), line(name, "false", size));
    EXPECT_NE(error_of(dir.path(), options), "") << name;
  }
  for (const std::string& bad : {block(record(std::string(70, 'x')), 128), record("plain").substr(0, 7),
                                 std::string("x"), block(record("\x80\x04pickled"), 64)}) {
    write_file(dir.path("one"), bad);
    write_file(dir.path("meta.bin"), line("one", "false", "64"));
    EXPECT_NE(error_of(dir.path(), options).find("/one: byte 0: "), std::string::npos) << error_of(dir.path(), options);
  }
}

TEST(Packed, TextsOfEveryKindAreReadThroughGzipAndZstd) {
  const TempDir dir(testing::memory_folder());
  const std::string golden = std::string(TRIREME_SOURCE_DIR) + "/tests/golden/data/numbers";
  for (const char* ending : {".gz", ".zst"}) {
    const std::string packed = read_file(golden + ending);
    write_file(dir.path("a.txt") + ending, packed);
    const auto whole = open_documents(dir.path("a.txt") + ending, {});
    const Strings documents = read_all(*whole);
    ASSERT_EQ(documents.size(), 1U);
    EXPECT_EQ(documents[0].substr(0, 6), "1\n2\n3\n");
    const auto lines = open_documents(dir.path("a.txt") + ending, {"text", "7777"});
    const Strings parts = read_all(*lines);
    ASSERT_EQ(parts.size(), 2U);
    EXPECT_EQ(parts[1].substr(0, 5), "7778\n");
    const auto again = open_documents(dir.path("a.txt") + ending, {"text", "7777"});
    std::string first, second;
    again->next(first);
    const auto third = open_documents(dir.path("a.txt") + ending, {"text", "7777"});
    third->go_on(again->position());
    third->next(second);
    EXPECT_EQ(second, parts[1]);
    write_file(dir.path("b.csv") + ending, packed);
    EXPECT_NE(error_of(dir.path("b.csv") + ending, {"1", ""}), "no error");
    const auto table = open_documents(dir.path("b.csv") + ending, {"1", ""});
    EXPECT_EQ(read_all(*table).size(), 11999U);
  }
  write_file(dir.path("a.bin.gz"), "");
  EXPECT_NE(error_of(dir.path("a.bin.gz")).find("cannot tell the kind"), std::string::npos);
}

TEST(Columns, SeveralAreJoinedInTheOrderTheyAreNamed) {
  const auto read = [](std::string_view text, const std::string& name, const std::string& column) {
    return read_all(*read_documents(text, name, {column, ""}));
  };
  EXPECT_EQ(read("a,b,c\n1,2,3\n4,5,6\n", "x.csv", "c+a"), (Strings{"31", "64"}));
  EXPECT_EQ(read("a+b,a,b\n1,2,3\n", "x.csv", "a+b"), Strings{"1"});  // a column of that very name
  EXPECT_EQ(read("{\"a\":\"x\",\"z\":1,\"b\":\"y\"}", "x.jsonl", "b+a"), Strings{"yx"});
  EXPECT_THROW(read("{\"a\":\"x\"}", "x.jsonl", "b+a"), IoError);
  EXPECT_THROW(read("a,b\n1,2\n", "x.csv", "a+d"), ConfigError);
  EXPECT_EQ(read(" {\"text\":\"x\"}\n{\"text\":\"y\"}\n", "x.json", "text"), (Strings{"x", "y"}));  // loose JSON
}

}  // namespace
}  // namespace trireme
