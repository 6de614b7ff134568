#include "data/text_reader.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

using Strings = std::vector<std::string>;

Strings read_all(std::string_view text, const std::string& name, const TextOptions& options = {}) {
  const auto reader = read_documents(text, name, options);
  Strings documents;
  for (std::string document; reader->next(document); document.clear()) documents.push_back(document);
  EXPECT_EQ(reader->position(), text.size());
  return documents;
}

std::string error_of(std::string_view text, const std::string& name, const TextOptions& options = {}) {
  try {
    read_all(text, name, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void expect_error(std::string_view text, const std::string& name, const std::string& expected,
                  const TextOptions& options = {}) {
  const std::string message = error_of(text, name, options);
  EXPECT_NE(message.find(expected), std::string::npos)
      << "text: " << text << "\nexpected: " << expected << "\nfound: " << message;
}

TEST(Text, WholeFileIsOneDocumentByteForByte) {
  const std::string text = "\xEF\xBB\xBF one\r\n\n\xFF two\n";
  EXPECT_EQ(read_all(text, "a.txt"), Strings{text});
}

TEST(Text, PartsOfAWholeFileFollowOneAnother) {
  std::string text;
  for (int i = 0; i < 200000; ++i) text += cat(i, " ");
  const auto parts_of = [](const std::string& of, const std::string& name, const TextOptions& options) {
    const auto reader = read_documents(of, name, options);
    std::string joined, part;
    size_t parts = 0;
    for (bool ended = false; reader->next_part(part, ended); part.clear(), ++parts) joined += part + (ended ? "|" : "");
    return std::pair(joined, parts);
  };
  const auto [joined, parts] = parts_of(text, "a.txt", {});
  EXPECT_TRUE(joined == text + "|");
  EXPECT_GT(parts, 2U);
  EXPECT_EQ(parts_of("a\n%\nb\n", "a.txt", {"text", "%"}), std::pair(std::string("a|b|"), size_t{2}));
  EXPECT_EQ(parts_of("text\na\nb\n", "a.csv", {}), std::pair(std::string("a|b|"), size_t{2}));
}

TEST(Text, SeparatorLinesEndDocuments) {
  const TextOptions percent{"text", "%"};
  EXPECT_EQ(read_all("a\nb\n%\n%\r\nc % d\r\n%\ne", "a.txt", percent), (Strings{"a\nb", "c % d", "e"}));
  EXPECT_EQ(read_all("%\n%\n", "a.txt", percent), Strings{});
  const TextOptions blank{"text", "blank"};
  EXPECT_EQ(read_all("\n\na\nb\n\n\n\r\nc\n", "a.txt", blank), (Strings{"a\nb", "c"}));
}

TEST(Text, UnknownKindListsTheValidOnes) {
  for (const char* name : {"a.parquets", "a", "folder.csv/a", "a.TXT", "a.gz", "a.zip.gz"})
    expect_error("x", name, "valid endings: .txt, .jsonl, .json, .csv");
}

TEST(Text, EmptyAndMissingFilesAreNamed) {
  for (const char* name : {"a.txt", "a.csv", "a.json", "a.jsonl"})
    expect_error("", name, cat(name, ": the file is empty"));
  const testing::TempDir dir;
  EXPECT_THROW(open_documents(dir.path("none.txt"), {}), IoError);
  EXPECT_THROW(open_documents(dir.path(), {}), IoError);
}

TEST(Csv, FieldsFollowTheRfc) {
  const TextOptions b{"b", ""};
  EXPECT_EQ(read_all("a,b\n1,2\n", "a.csv", b), Strings{"2"});
  EXPECT_EQ(read_all("a,b\r\n1,2\r\n3,4", "a.csv", b), (Strings{"2", "4"}));
  EXPECT_EQ(read_all("a,\"b\"\n1,\"x,\"\"y\"\"\nz\"\n", "a.csv", b), Strings{"x,\"y\"\nz"});
  EXPECT_EQ(read_all("a,b\n\"1\n1\",\"\"\n\n,\"\"\"\"\n", "a.csv", b), (Strings{"", "\""}));
  EXPECT_EQ(read_all("a,b\n1,\xFF\xFE\n2,\"\xC3\"\n", "a.csv", b), (Strings{"\xFF\xFE", "\xC3"}));
  EXPECT_EQ(read_all("\xEF\xBB\xBF"
                     "b\nx\n",
                     "a.csv", b),
            Strings{"x"});
  EXPECT_EQ(read_all("a,b\n1,it's 5\" long\n", "a.csv", b), Strings{"it's 5\" long"});
  EXPECT_EQ(read_all("a,b\n1,a\rb\n", "a.csv", b), Strings{"a\rb"});
  EXPECT_EQ(read_all("b,a\n\"x\r\ny\",\r\n", "a.csv", b), Strings{"x\r\ny"});
  EXPECT_EQ(read_all("a,b\n1,", "a.csv", b), Strings{""});
  EXPECT_EQ(read_all("a,b\n", "a.csv", b), Strings{});
}

TEST(Csv, ErrorsNameTheLine) {
  const TextOptions b{"b", ""};
  expect_error("a,c\n1,2\n", "x.csv", "x.csv:1: no column 'b' in the header row; there are 'a', 'c'", b);
  expect_error("a,b\n1,2\n\"x\ny\",\"2\n3\n", "x.csv", "x.csv:4: the quote that opens this field is never closed", b);
  expect_error("a,b\n\"1\n\",2\n3\n", "x.csv", "x.csv:4: this row has 1 fields, the header row 2", b);
  expect_error("a,b\n1,2,3\n", "x.csv", "x.csv:2: this row has 3 fields, the header row 2", b);
  expect_error("a,b\n1,\"2\"3\n", "x.csv", "x.csv:2: expected a comma or the end of the row", b);
  expect_error("\n\n", "x.csv", "x.csv: expected a header row", b);
  expect_error("\"b", "x.csv", "x.csv:1: the quote", b);
}

TEST(JsonLines, TextOfTheKeyWhateverElseIsThere) {
  EXPECT_EQ(
      read_all("{\"text\":\"a\"}\n\n  {\"x\": [1, -2.5e3, {\"text\": \"no\"}, []], \"text\" : \"b\", \"y\": null}\r\n",
               "a.jsonl"),
      (Strings{"a", "b"}));
  EXPECT_EQ(read_all("{\"te\\u0078t\":\"a\"}", "a.jsonl"), Strings{"a"});
  EXPECT_EQ(read_all("{\"text\":\"a\",\"text\":\"b\"}", "a.jsonl"), Strings{"b"});
  EXPECT_EQ(read_all("\"a\"\n{\"text\":\"\"}\n", "a.jsonl"), (Strings{"a", ""}));
}

TEST(JsonLines, EscapesSurrogatesAndForeignBytes) {
  EXPECT_EQ(read_all(R"({"text":"\"\\\/\b\f\n\r\t\u00e9\u6625"})", "a.jsonl"), Strings{"\"\\/\b\f\n\r\t\u00e9\u6625"});
  EXPECT_EQ(read_all(R"("\ud83d\ude00")", "a.jsonl"), Strings{"\U0001F600"});
  EXPECT_EQ(read_all(R"("\ud83d!\ude00\ud83d\u0041\ud83d\ud83d\ude00")", "a.jsonl"), Strings{"\uFFFD!\uFFFD\uFFFD"
                                                                                             "A\uFFFD\U0001F600"});
  EXPECT_EQ(read_all("{\"text\":\"\xFF\xC3(\xE6\x98\"}", "a.jsonl"), Strings{"\xFF\xC3(\xE6\x98"});
  EXPECT_EQ(read_all(R"("\u0000")", "a.jsonl"), Strings{std::string(1, '\0')});
}

TEST(JsonLines, ErrorsNameTheLine) {
  expect_error("{\"text\":\"a\"}\n{\"body\":\"b\", \"id\":1}\n", "x.jsonl",
               "x.jsonl:2: this object has no key \"text\"; it has: body, id");
  expect_error("{\"text\":\"a\"}\n\n{\"text\":3}\n", "x.jsonl",
               "x.jsonl:3: expected a string as the value of \"text\", found '3'");
  expect_error("{\"text\":\"a\n\"}", "x.jsonl", "x.jsonl:1: the quote that opens this string is never closed");
  expect_error("{\"text\":\"a\"", "x.jsonl",
               "x.jsonl:1: expected ',' or '}' behind a member of the object, the line ends");
  expect_error("{\"text\":\"a\"} {}", "x.jsonl", "x.jsonl:1: expected the end of the line");
  expect_error("[1]", "x.jsonl", "x.jsonl:1: expected an object or a string, found '['");
  expect_error("{\"text\":\"\\x\"}", "x.jsonl", "expected one of");
  expect_error("{\"text\":\"\\u12G4\"}", "x.jsonl", "expected four hexadecimal digits behind \\u, found 'G'");
  expect_error("{\"text\":\"a\tb\"}", "x.jsonl", "expected an escape such as \\n");
  expect_error("{\"a\":nul,\"text\":\"a\"}", "x.jsonl", "expected a value, found 'n'");
  expect_error("{\"a\":}", "x.jsonl", "expected a value, found '}'");
  expect_error("{\"a\":[1,]}", "x.jsonl", "expected a value, found ']'");
  expect_error("{,}", "x.jsonl", "expected a key in quotes");
  expect_error("{\"a\":" + std::string(100000, '['), "x.jsonl", "nested at most 64 deep");
}

TEST(JsonList, ObjectsAndStrings) {
  EXPECT_EQ(read_all("[\n {\"text\": \"a\"},\n \"b\" , {\"text\":\"c\", \"z\":{\"q\":[{}]}} ]\n", "a.json"),
            (Strings{"a", "b", "c"}));
  EXPECT_EQ(read_all("[]", "a.json"), Strings{});
  EXPECT_EQ(read_all("\xEF\xBB\xBF[\"a\"]", "a.json"), Strings{"a"});
}

TEST(JsonList, ErrorsNameTheLine) {
  expect_error("3", "x.json", "x.json:1: expected '[', a list of objects or strings");
  expect_error("{\"text\":\"a\"}\n{\"text\":\"a\"\n}", "x.json", "x.json:2: expected ',' or '}' behind a member");
  expect_error("[\n\"a\"\n\"b\"]", "x.json", "x.json:3: expected ',' or ']' behind an item of the list, found '\"'");
  expect_error("[\n\"a\",\n]", "x.json", "x.json:3: expected an object or a string, found ']'");
  expect_error("[\"a\"", "x.json", "x.json:1: expected ',' or ']' behind an item of the list, the file ends");
  expect_error("[\"a\"] x", "x.json", "expected the end of the file behind the list, found 'x'");
  expect_error("[\"a\n\"]", "x.json", "x.json:1: expected an escape such as \\n");
  expect_error("[\n{\"a\":1}]", "x.json", "x.json:2: this object has no key \"text\"; it has: a");
}

/// Documents with lengths around those of the window, as text of each kind.
std::vector<std::pair<std::string, std::string>> long_texts() {
  Strings documents;
  uint32_t state = 1;
  for (const size_t length : {0, 1, 262143, 3, 262140, 262144, 600000, 5, 1500000, 2, 7}) {
    std::string& text = documents.emplace_back();
    for (size_t i = 0; i < length; ++i) {
      state = state * 1664525 + 1013904223;
      text.push_back("ab\",\n\r\\ %"[state >> 29]);
    }
    text += "x";
  }
  std::string txt, csv = "\xEF\xBB\xBFid,text\r\n", lines, list = "[ ";
  for (const std::string& text : documents) {
    std::string quoted, escaped;
    for (const char c : text) {
      quoted.append(c == '"' ? 2 : 1, c);
      if (c == '"' || c == '\\') escaped.push_back('\\');
      escaped += c == '\n' ? "\\u000a" : c == '\r' ? "\\r" : std::string(1, c);
    }
    txt += text + "\n%\n";
    csv += "7,\"" + quoted + "\"\r\n";
    lines += "{\"n\": [-1.5e3, {\"text\": null}], \"text\" : \"" + escaped + "\"}\r\n";
    list += (list.size() > 2 ? ", {\"text\":\"" : "{\"text\":\"") + escaped + "\", \"z\": true}";
  }
  return {{"a.txt", txt}, {"a.csv", csv}, {"a.jsonl", lines}, {"a.json", list + " ]"}};
}

TEST(Text, DocumentsLongerThanTheWindowAreWhole) {
  const auto texts = long_texts();
  const Strings expected = read_all(texts[1].second, texts[1].first);
  ASSERT_EQ(expected.size(), 11U);
  EXPECT_EQ(expected[8].size(), 1500001U);
  for (const auto& [name, text] : texts) {
    const Strings found = read_all(text, name, {"text", name == "a.txt" ? "%" : ""});
    EXPECT_TRUE(found == expected) << name;
  }
}

TEST(Text, AReaderGoesOnWhereAnotherOneWas) {
  for (const auto& [name, text] : long_texts()) {
    const TextOptions options{"text", "%"};
    const Strings all = read_all(text, name, options);
    const auto first = read_documents(text, name, options);
    std::string document;
    for (size_t i = 0; first->next(document); ++i, document.clear()) {
      EXPECT_EQ(document, all[i]) << name;
      const auto second = read_documents(text, name, options);
      second->go_on(first->position());
      std::string next;
      EXPECT_EQ(second->next(next), i + 1 < all.size()) << name;
      EXPECT_TRUE(i + 1 == all.size() || next == all[i + 1]) << name << " " << i;
    }
  }
}

TEST(Text, LinesAreCountedFromTheBeginningOfTheFile) {
  std::string text = "text\n";
  for (int i = 0; i < 200000; ++i) text += "word\n";
  expect_error(text + "one,two\n", "x.csv", "x.csv:200002: this row has 2 fields");
  const std::string bad = text + "one,two\n";
  const auto reader = read_documents(bad, "x.csv", {});
  std::string document;
  reader->next(document);
  reader->go_on(text.size());
  EXPECT_THROW(reader->next(document), IoError);
  try {
    reader->go_on(text.size());
    reader->next(document);
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("x.csv:200002: "), std::string::npos) << error.what();
  }
}

TEST(SharedData, PoemsOfTheTestSet) {
  const std::string name = "data/chinese-poetry/test.csv";
  if (!testing::has_shared(name)) GTEST_SKIP() << testing::shared_path(name) << " is not there";
  const auto reader = open_documents(testing::shared_path(name), {"text1", ""});
  int64_t rows = 0;
  for (std::string poem; reader->next(poem); poem.clear(), ++rows) EXPECT_FALSE(poem.empty());
  EXPECT_EQ(rows, 1565);
}

}  // namespace
}  // namespace trireme
