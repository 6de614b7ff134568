#include "base/shared_library.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace trireme {
namespace {

TEST(SharedLibrary, GivesItsFunctions) {
  const SharedLibrary math("libm.so.6", {});
  ASSERT_EQ(math.problem(), "");
  const auto cosine = reinterpret_cast<double (*)(double)>(math.function("cos"));
  EXPECT_EQ(cosine(0.0), 1.0);
}

TEST(SharedLibrary, NamesAFunctionThatItLacks) {
  const SharedLibrary math("libm.so.6", {});
  try {
    math.function("cosine_of_tomorrow");
    FAIL() << "found";
  } catch (const DeviceError& e) {
    EXPECT_STREQ(e.what(), "libm.so.6 has no cosine_of_tomorrow: it is older than this program needs");
  }
}

TEST(SharedLibrary, ThatIsMissingIsNamedWithEveryPlaceThatWasSearched) {
  const SharedLibrary missing("libtrireme-none.so.7", {"/nowhere", "/nowhere/else"});
  for (const char* part : {"libtrireme-none.so.7", "/nowhere/libtrireme-none.so.7", "/nowhere/else/libtrireme-none"})
    EXPECT_NE(missing.problem().find(part), std::string::npos) << missing.problem();
  EXPECT_THROW(missing.function("anything"), DeviceError);
}

}  // namespace
}  // namespace trireme
