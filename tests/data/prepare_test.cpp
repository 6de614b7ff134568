#include "data/prepare.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "base/error.h"
#include "data/indexed.h"
#include "support/file_systems.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

using testing::TempDir;

/// One id a byte.
const auto encode_bytes = [](std::vector<int32_t>& out, std::string_view text, int) {
  for (const char c : text) out.push_back(static_cast<unsigned char>(c));
};

const auto no_progress = [](const PrepareProgress&) {};

PrepareOptions options(const TempDir& dir, std::vector<std::string> sources) {
  PrepareOptions o;
  o.sources = std::move(sources);
  o.prefix = dir.path("out/tokens");
  o.vocab_size = 257;
  o.eos_id = 256;
  o.tokenizer = 0xABC;
  return o;
}

std::vector<std::string> decoded(const std::string& prefix) {
  const IndexedDataset data(prefix, 257);
  std::vector<std::string> documents;
  for (int64_t d = 0; d < data.num_documents(); ++d) {
    std::vector<int32_t> ids(static_cast<size_t>(data.document_length(d)));
    data.read_document(ids, d, 0);
    std::string& text = documents.emplace_back();
    for (const int32_t id : ids) text += id == 256 ? std::string("<eos>") : std::string(1, static_cast<char>(id));
  }
  return documents;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  if (std::filesystem::exists(folder))
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Prepare, DocumentsOfAllKindsInOrder) {
  const TempDir dir;
  write_file(dir.path("a.txt"), "one\n");
  write_file(dir.path("b.jsonl"), "{\"text\":\"two\"}\n{\"text\":\"\"}\n{\"text\":\"th\xFFree\"}\n");
  write_file(dir.path("c.csv"), "id,text\n1,\"fo\nur\"\n");
  write_file(dir.path("d.json"), "[\"five\"]");
  ThreadPool pool(1);
  PrepareOptions o = options(dir, {dir.path("a.txt"), dir.path("b.jsonl"), dir.path("c.csv"), dir.path("d.json")});
  const TokenFileInfo info = prepare(o, encode_bytes, pool, no_progress);
  EXPECT_EQ(decoded(o.prefix),
            (std::vector<std::string>{"one\n<eos>", "two<eos>", "th\xFFree<eos>", "fo\nur<eos>", "five<eos>"}));
  EXPECT_EQ(info.documents, 5);
  EXPECT_EQ(info.empty_documents, 1);
  EXPECT_EQ(info.text_bytes, 22);
  EXPECT_EQ(info.tokens, 27);
  EXPECT_EQ(info.longest_document, 7);
  EXPECT_EQ(read_token_file_info(o.prefix), info);
  EXPECT_EQ(files_in(dir.path("out")), (std::vector<std::string>{"tokens.bin", "tokens.idx", "tokens.meta.json"}));
  o.append_eos = false;
  prepare(o, encode_bytes, pool, no_progress);
  EXPECT_EQ(decoded(o.prefix)[0], "one\n");
}

TEST(Prepare, NumberOfThreadsDoesNotShow) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 20000; ++i)
    text += cat("{\"text\":\"", std::string(static_cast<size_t>(1 + i * 7919 % 900), 'x'), i, "\"}\n");
  write_file(dir.path("a.jsonl"), text);
  std::string expected_bin, expected_idx;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    int calls = 0;
    PrepareProgress last;
    PrepareOptions o = options(dir, {dir.path("a.jsonl")});
    prepare(o, encode_bytes, pool, [&](const PrepareProgress& p) {
      EXPECT_GT(p.bytes, last.bytes);
      last = p;
      ++calls;
    });
    EXPECT_GE(calls, 3);
    EXPECT_EQ(last.bytes, static_cast<int64_t>(text.size()));
    EXPECT_EQ(last.total_bytes, last.bytes);
    EXPECT_EQ(last.documents, 20000);
    const std::string bin = read_file(o.prefix + ".bin"), idx = read_file(o.prefix + ".idx");
    if (threads == 1) expected_bin = bin, expected_idx = idx;
    EXPECT_TRUE(bin == expected_bin && idx == expected_idx) << threads;
  }
}

/// The three files, one after the other.
std::string files_of(const std::string& prefix) {
  return read_file(prefix + ".bin") + read_file(prefix + ".idx") + read_file(prefix + ".meta.json");
}

/// Sources of every kind with documents of all sizes, empty ones among them.
std::vector<std::string> write_sources(const TempDir& dir) {
  std::string txt, csv = "id,text\r\n", lines, list = "[";
  for (size_t i = 0; i < 120; ++i) {
    const std::string word = std::string(i * 7919 % 97, static_cast<char>('a' + i % 26));
    txt += word + (i % 5 ? "\n%\n" : "\n");
    csv += cat(i, ",\"", word, "\n\"\"", i, "\"\r\n");
    lines += cat("{\"id\": [", i, "], \"text\": \"", i % 7 ? word : "", "\"}\n");
    list += cat(i ? "," : "", "\n \"", word, "\"");
  }
  write_file(dir.path("a.txt"), txt);
  write_file(dir.path("b.csv"), csv);
  write_file(dir.path("c.jsonl"), lines);
  write_file(dir.path("d.json"), list + "]\n");
  return {dir.path("a.txt"), dir.path("b.csv"), dir.path("c.jsonl"), dir.path("d.json")};
}

TEST(Prepare, KilledAtAnyMomentAndCalledAgainGivesTheSameFiles) {
  const TempDir source;
  const std::vector<std::string> sources = write_sources(source);
  std::string expected;
  int64_t went_on = 0, last_kept = 0;
  for (int64_t fail_at = -1, calls = 0; fail_at <= calls; ++fail_at) {
    const TempDir dir(testing::memory_folder());
    PrepareOptions o = options(dir, sources);
    o.text.document_separator = "%";
    o.block_bytes = 200;
    o.journal_bytes = 500;
    ThreadPool pool(1 + static_cast<int>(fail_at % 2 != 0));
    if (fail_at >= 0) {
      testing::FailingFileSystem fs(fail_at, "killed", true);
      try {
        prepare(o, encode_bytes, pool, no_progress, fs);
      } catch (const IoError&) {}
      calls = fs.calls();
    }
    int64_t kept = 0;
    const TokenFileInfo info =
        prepare(o, encode_bytes, pool, [&](const PrepareProgress& p) { kept = p.kept_documents; });
    EXPECT_EQ(read_token_file_info(o.prefix), info);
    EXPECT_EQ(files_in(dir.path("out")), (std::vector<std::string>{"tokens.bin", "tokens.idx", "tokens.meta.json"}));
    if (fail_at < 0) expected = files_of(o.prefix);
    EXPECT_TRUE(files_of(o.prefix) == expected) << "killed at call " << fail_at;
    went_on += kept > 0;
    last_kept = std::max(last_kept, kept);
  }
  EXPECT_GE(went_on, 50);
  EXPECT_GE(last_kept, 300);  // of 435: into the last source
}

TEST(Prepare, AfterALossOfPowerTheSameCommandGivesTheSameFiles) {
  const TempDir source, dir(testing::memory_folder()), image(testing::memory_folder());
  PrepareOptions o = options(dir, write_sources(source));
  o.block_bytes = 200;
  o.journal_bytes = 500;
  ThreadPool pool(1);
  testing::RecordingFileSystem fs;
  prepare(o, encode_bytes, pool, no_progress, fs);
  const std::string expected = files_of(o.prefix);
  std::mt19937_64 random(7);
  int64_t went_on = 0;
  for (size_t calls = 0; calls <= fs.log().size(); calls += 3) {
    for (int i = 0; i < 2; ++i) {
      fs.crash_image(dir.path(), calls, image.path("disk"), random);
      PrepareOptions again = o;
      again.prefix = image.path("disk/out/tokens");
      prepare(again, encode_bytes, pool, [&](const PrepareProgress& p) { went_on += p.kept_documents > 0; });
      EXPECT_TRUE(files_of(again.prefix) == expected) << "power lost after call " << calls;
    }
  }
  EXPECT_GE(went_on, 10);
}

TEST(Prepare, WhatAnotherJobLeftIsNotTakenUp) {
  const TempDir source;
  const std::vector<std::string> sources = write_sources(source);
  const auto kept_after = [&](void (*change)(PrepareOptions&), std::string more = "") {
    const TempDir dir;
    PrepareOptions o = options(dir, sources);
    o.block_bytes = 200;
    o.journal_bytes = 500;
    ThreadPool pool(1);
    testing::FailingFileSystem fs(60, "killed", true);
    EXPECT_THROW(prepare(o, encode_bytes, pool, no_progress, fs), IoError);
    change(o);
    if (!more.empty()) write_file(sources[2], read_file(sources[2]) + more);
    int64_t kept = -1;
    prepare(o, encode_bytes, pool, [&](const PrepareProgress& p) { kept = p.kept_documents; });
    return kept;
  };
  EXPECT_GT(kept_after([](PrepareOptions&) {}), 0);
  EXPECT_EQ(kept_after([](PrepareOptions& o) { o.append_eos = false; }), 0);
  EXPECT_EQ(kept_after([](PrepareOptions& o) { o.tokenizer = 5; }), 0);
  EXPECT_EQ(kept_after([](PrepareOptions& o) { o.text.document_separator = "%"; }), 0);
  EXPECT_EQ(kept_after([](PrepareOptions& o) { o.sources.pop_back(); }), 0);
  EXPECT_EQ(kept_after([](PrepareOptions&) {}, "{\"text\": \"one more\"}\n"), 0);
}

TEST(Prepare, TwoProcessesDoNotWriteTheSameFiles) {
  const TempDir dir;
  write_file(dir.path("a.csv"), "text\none\n");
  ThreadPool pool(1);
  const PrepareOptions o = options(dir, {dir.path("a.csv")});
  std::filesystem::create_directory(dir.path("out"));
  PartialFile other(o.prefix + ".journal");
  try {
    prepare(o, encode_bytes, pool, no_progress);
    ADD_FAILURE() << "both write";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("another process is writing this file"), std::string::npos);
  }
}

TEST(Prepare, GivingUpLeavesNothing) {
  const TempDir dir;
  write_file(dir.path("a.csv"), "text\none\n\"two\n");
  write_file(dir.path("b.csv"), "text\none\n");
  ThreadPool pool(1);
  EXPECT_THROW(prepare(options(dir, {dir.path("b.csv"), dir.path("a.csv")}), encode_bytes, pool, no_progress), IoError);
  EXPECT_EQ(files_in(dir.path("out")), std::vector<std::string>{});
  const auto stop = [](const PrepareProgress&) { throw Error("stopped"); };
  EXPECT_THROW(prepare(options(dir, {dir.path("b.csv")}), encode_bytes, pool, stop), Error);
  EXPECT_EQ(files_in(dir.path("out")), std::vector<std::string>{});
}

TEST(Prepare, KilledAtAnyMomentLeavesNoIndexOrAWholeOne) {
  const TempDir source;
  write_file(source.path("b.csv"), "text\none\ntwo\n");
  ThreadPool pool(1);
  for (int64_t fail_at = 0;; ++fail_at) {
    const TempDir dir;
    testing::FailingFileSystem fs(fail_at, "killed", true);
    const PrepareOptions o = options(dir, {source.path("b.csv")});
    try {
      prepare(o, encode_bytes, pool, no_progress, fs);
    } catch (const IoError&) {}
    if (std::filesystem::exists(o.prefix + ".idx")) {
      EXPECT_EQ(decoded(o.prefix), (std::vector<std::string>{"one<eos>", "two<eos>"})) << fail_at;
      EXPECT_TRUE(read_token_file_info(o.prefix).has_value());
    }
    if (fail_at >= fs.calls()) break;
  }
}

TEST(Prepare, BadInputIsNamed) {
  const TempDir dir;
  write_file(dir.path("a.txt"), "z\xC3");
  write_file(dir.path("empty.txt"), "");
  write_file(dir.path("nothing.csv"), "text\n\"\"\n");
  ThreadPool pool(1);
  const auto message = [&](PrepareOptions o) -> std::string {
    try {
      prepare(o, encode_bytes, pool, no_progress);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  PrepareOptions o = options(dir, {dir.path("a.txt")});
  o.vocab_size = 0xC3;
  o.append_eos = false;
  EXPECT_NE(message(o).find("a.txt: document 0 of "), std::string::npos) << message(o);
  EXPECT_NE(message(o).find("has the id 195, the vocabulary has 195 ids"), std::string::npos) << message(o);
  EXPECT_NE(message(options(dir, {dir.path("none.txt")})).find("none.txt"), std::string::npos);
  EXPECT_NE(message(options(dir, {dir.path("empty.txt")})).find("empty.txt: the file is empty"), std::string::npos);
  EXPECT_NE(message(options(dir, {dir.path("nothing.csv")})).find("nothing.csv: there is no text in this file"),
            std::string::npos);
  EXPECT_EQ(files_in(dir.path("out")), std::vector<std::string>{});
}

TEST(Prepare, OtherTokenizerIsRefused) {
  const TempDir dir;
  write_file(dir.path("a.txt"), "text");
  ThreadPool pool(1);
  const PrepareOptions o = options(dir, {dir.path("a.txt")});
  require_tokenizer(o.prefix, 1, 1);  // nothing there to disagree
  prepare(o, encode_bytes, pool, no_progress);
  require_tokenizer(o.prefix, 0xABC, 257);
  try {
    require_tokenizer(o.prefix, 0xABD, 300);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("abc of 257 ids, this one is "), std::string::npos) << error.what();
  }
  write_file(o.prefix + ".meta.json", "{\"tokenizer\": 3}");
  EXPECT_THROW(read_token_file_info(o.prefix), IoError);
}

}  // namespace
}  // namespace trireme
