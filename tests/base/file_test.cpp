#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>

#include "base/error.h"
#include "support/file_systems.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

size_t entries(const std::string& folder) {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

TEST(AtomicFile, ReplacesTheOldContentAtCommitOnly) {
  const testing::TempDir dir;
  write_file(dir.path("f"), "old");
  {
    AtomicFile file(dir.path("f"));
    file.write("new");
    EXPECT_EQ(read_file(dir.path("f")), "old");
    file.commit();
    EXPECT_EQ(file.size(), 3u);
  }
  EXPECT_EQ(read_file(dir.path("f")), "new");
  {
    AtomicFile abandoned(dir.path("f"));
    abandoned.write("never");
  }
  EXPECT_EQ(read_file(dir.path("f")), "new");
  EXPECT_EQ(entries(dir.path()), 1u);
}

TEST(AtomicFile, SyncsBeforeTheRenameAndTheFolderAfterIt) {
  const testing::TempDir dir;
  testing::RecordingFileSystem fs;
  write_file(dir.path("f"), "x", fs);
  std::string calls;
  for (const auto& call : fs.log()) calls += call.name + ", ";
  EXPECT_EQ(calls, "create, write, fsync, close, rename, fsync folder, ");
}

TEST(AtomicFile, AFailureOfAnyCallLeavesOldOrNewAndNothingElse) {
  for (int call = 0; call < 6; ++call) {
    const testing::TempDir dir;
    write_file(dir.path("f"), "old content");
    testing::FailingFileSystem fs(call, "planned");
    EXPECT_THROW(write_file(dir.path("f"), "new content", fs), IoError) << call;
    EXPECT_EQ(read_file(dir.path("f")), call < 5 ? "old content" : "new content") << call;
    EXPECT_EQ(entries(dir.path()), 1u) << call;
  }
}

TEST(AtomicFile, NeverTakesThePlaceOfADeviceAPipeOrAFolder) {
  const testing::TempDir dir;
  ASSERT_EQ(mkfifo(dir.path("pipe").c_str(), 0600), 0);
  std::filesystem::create_directory(dir.path("folder"));
  std::filesystem::create_symlink("/dev/null", dir.path("link"));
  for (const char* name : {"pipe", "folder", "link"}) {
    try {
      write_file(dir.path(name), "text");
      ADD_FAILURE() << name << " was written over";
    } catch (const IoError& e) {
      EXPECT_NE(std::string(e.what()).find(dir.path(name)), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("regular file"), std::string::npos) << e.what();
    }
  }
  EXPECT_TRUE(std::filesystem::is_fifo(dir.path("pipe")));
  EXPECT_TRUE(std::filesystem::is_symlink(dir.path("link")));
  EXPECT_EQ(entries(dir.path()), 3u);
}

TEST(AtomicFile, KeepsTheOrderOfSmallAndLargeWrites) {
  const testing::TempDir dir;
  std::string expected;
  AtomicFile file(dir.path("f"));
  for (const size_t bytes : {3u, 1u << 20, 5u, 3u << 20, (1u << 20) - 1, 2u, 0u}) {
    const std::string part(bytes, static_cast<char>('a' + expected.size() % 26));
    file.write(part);
    expected += part;
  }
  file.commit();
  EXPECT_TRUE(read_file(dir.path("f")) == expected);
  EXPECT_THROW(file.write("more"), Bug);
  EXPECT_THROW(file.commit(), Bug);
}

TEST(RealFileSystem, ErrorsNameCallPathAndReason) {
  const testing::TempDir dir;
  try {
    write_file(dir.path("no/such/folder/f"), "x");
    FAIL();
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("create " + dir.path("no/such/folder/f")), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("No such file"), std::string::npos) << e.what();
  }
  FileSystem& fs = real_file_system();
  EXPECT_THROW(fs.remove(dir.path("missing")), IoError);
  EXPECT_THROW(fs.sync_directory(dir.path("missing")), IoError);
  EXPECT_THROW(fs.rename(dir.path("a"), dir.path("b")), IoError);
  write_file(dir.path("file"), "x");
  EXPECT_THROW(fs.make_directory(dir.path("file/below")), IoError);
}

TEST(RealFileSystem, MakesAndRemovesFolders) {
  const testing::TempDir dir;
  FileSystem& fs = real_file_system();
  fs.make_directory(dir.path("a/b/c"));
  fs.make_directory(dir.path("a/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(dir.path("a/b/c")));
  fs.remove(dir.path("a/b/c"));
  EXPECT_FALSE(std::filesystem::exists(dir.path("a/b/c")));
}

TEST(RealFileSystem, KnowsWhenSpaceIsMissingAlsoForFoldersToCome) {
  const testing::TempDir dir;
  FileSystem& fs = real_file_system();
  EXPECT_NO_THROW(fs.require_space(dir.path("not/yet/there"), 1));
  EXPECT_THROW(fs.require_space(dir.path("not/yet/there"), uint64_t{1} << 62), IoError);
  EXPECT_NO_THROW(fs.require_space("relative-name", 1));
}

TEST(ReadFile, RefusesFoldersDevicesAndLargeFiles) {
  const testing::TempDir dir;
  write_file(dir.path("f"), "12345");
  EXPECT_EQ(read_file(dir.path("f"), 5), "12345");
  EXPECT_THROW(read_file(dir.path("f"), 4), IoError);
  EXPECT_THROW(read_file(dir.path()), IoError);
  EXPECT_THROW(read_file("/dev/zero"), IoError);
  EXPECT_THROW(read_file(dir.path("missing")), IoError);
}

TEST(MappedFile, ShowsTheBytesAndMoves) {
  const testing::TempDir dir;
  write_file(dir.path("f"), std::string("ab\0c", 4));
  write_file(dir.path("empty"), "");
  MappedFile a(dir.path("f"));
  EXPECT_EQ(a.text(), std::string_view("ab\0c", 4));
  MappedFile b(std::move(a));
  EXPECT_EQ(b.bytes().size(), 4u);
  a = std::move(b);
  EXPECT_EQ(a.text().substr(0, 2), "ab");
  EXPECT_EQ(a.path(), dir.path("f"));
  EXPECT_TRUE(MappedFile(dir.path("empty")).bytes().empty());
  EXPECT_THROW(MappedFile(dir.path()), IoError);
}

TEST(PartialFile, StaysWhenItsWriterDiesAndIsGoneOnWith) {
  const testing::TempDir dir;
  {
    testing::FailingFileSystem fs(3, "killed", true);
    PartialFile file(dir.path("f"), fs);
    file.write("one two");
    file.sync();
    file.write(" three");
    EXPECT_THROW(file.sync(), IoError);
  }
  EXPECT_EQ(read_file(dir.path("f.partial")), "one two th");  // half of the write that failed
  PartialFile file(dir.path("f"));
  file.keep(4);
  file.write("2");
  EXPECT_EQ(file.size(), 5U);
  file.commit();
  EXPECT_EQ(read_file(dir.path("f")), "one 2");
  EXPECT_EQ(entries(dir.path()), 1u);
  { PartialFile abandoned(dir.path("f")); }
  EXPECT_EQ(entries(dir.path()), 1u);
}

TEST(PartialFile, WritesOfAnySizeFollowOneAnotherAlsoBehindSyncsAndWhatWasKept) {
  const testing::TempDir dir;
  const std::string path = dir.path("bin"), left = dir.path("left");
  std::mt19937 random(3);
  std::string expected(3 << 20, 'x');
  for (char& c : expected) c = static_cast<char>(random());
  const auto write = [&](PartialFile& file, size_t begin, size_t end) {
    for (size_t bytes; begin < end; begin += bytes) {
      bytes = std::min(end - begin, size_t{1} << random() % 22);
      file.write(std::string_view(expected).substr(begin, bytes));
      if (random() % 4 == 0) file.sync();
    }
    file.sync();
  };
  {
    PartialFile file(path);
    write(file, 0, 2500000);
    EXPECT_TRUE(read_file(path + ".partial") == expected.substr(0, 2500000));
    std::filesystem::copy_file(path + ".partial", left);
  }
  std::filesystem::rename(left, path + ".partial");
  PartialFile file(path);
  file.keep(1234567);
  write(file, 1234567, expected.size());
  file.commit();
  EXPECT_TRUE(read_file(path) == expected);
}

TEST(PartialFile, HasOneWriterAtATime) {
  const testing::TempDir dir;
  {
    PartialFile first(dir.path("f"));
    EXPECT_THROW(PartialFile(dir.path("f")), IoError);
    first.commit();
    PartialFile second(dir.path("f"));  // the first one's file has another name now
    second.write("2");
    EXPECT_EQ(read_file(dir.path("f")), "");
  }
  PartialFile third(dir.path("f"));
  third.commit();
}

}  // namespace
}  // namespace trireme
