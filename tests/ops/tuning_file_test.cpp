// The file of what was tuned: it outlives its process, belongs to one owner, and damage costs no more than its content.
#include "ops/tuning_file.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

class TuningFileTest : public ::testing::Test {
 protected:
  testing::TempDir folder_;
  std::string path_ = folder_.path() + "/cache/products.json";
};

TEST_F(TuningFileTest, WhatIsSetIsFoundByTheNextProcess) {
  TuningFile first(path_, "GPU A");
  EXPECT_EQ(first.find("64 x 64"), nullptr);
  first.set("64 x 64", "7");
  first.set("64 x 64", "8");
  first.set("1 x \"2\"\n", "");
  const TuningFile second(path_, "GPU A");
  ASSERT_NE(second.find("64 x 64"), nullptr);
  EXPECT_EQ(*second.find("64 x 64"), "8");
  ASSERT_NE(second.find("1 x \"2\"\n"), nullptr);
  EXPECT_EQ(second.size(), 2U);
}

TEST_F(TuningFileTest, AnotherOwnersContentIsNotFound) {
  TuningFile(path_, "GPU A").set("k", "v");
  EXPECT_EQ(TuningFile(path_, "GPU B").size(), 0U);
}

TEST_F(TuningFileTest, EveryDamagedByteIsNoticedOrHarmless) {
  TuningFile(path_, "GPU A").set("key", "value");
  const std::string whole = read_file(path_);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    write_file(path_, damaged);
    const TuningFile file(path_, "GPU A");
    if (file.size() > 0) {
      ASSERT_NE(file.find("key"), nullptr) << "byte " << i;
      EXPECT_EQ(*file.find("key"), "value") << "byte " << i;
    }
    if (i + 1 == whole.size()) break;  // without its newline it is whole
    write_file(path_, whole.substr(0, i));
    EXPECT_EQ(TuningFile(path_, "GPU A").size(), 0U) << i << " bytes";
  }
  TuningFile anew(path_, "GPU A");
  anew.set("key", "again");
  EXPECT_EQ(*TuningFile(path_, "GPU A").find("key"), "again");
}

TEST_F(TuningFileTest, WhereNothingCanBeWrittenTuningGoesOn) {
  write_file(folder_.path() + "/file", "");
  TuningFile file(folder_.path() + "/file/below/products.json", "GPU A");
  file.set("key", "value");
  file.set("other", "value");
  EXPECT_EQ(file.size(), 2U);
  TuningFile nowhere("", "GPU A");
  nowhere.set("key", "value");
  EXPECT_NE(nowhere.find("key"), nullptr);
}

}  // namespace
}  // namespace trireme
