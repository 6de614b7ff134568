#include "base/hash.h"

#include <gtest/gtest.h>

#include <string_view>

namespace trireme {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(Hash, Hash64IsXxh3) {
  EXPECT_EQ(hex(hash64({})), "2d06800538d394c2");  // XXH3_64bits of nothing, from xxHash's sanity tests
  EXPECT_NE(hash64(bytes_of("a")), hash64(bytes_of("b")));
  EXPECT_NE(hash64(bytes_of("a"), 1), hash64(bytes_of("a"), 2));
}

TEST(Hash, Crc32cMatchesRfc3720) {  // its appendix B.4
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8A9136AAu);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xff'))), 0x62A8AB43u);
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c(bytes_of("6789"), crc32c(bytes_of("12345"))), 0xE3069283u);  // continues
}

TEST(Hash, Hash128CarriesAndCommutes) {
  Hash128 a, b;
  a.add(~uint64_t{0}, 1);
  a.add(1, 2);
  EXPECT_EQ(a, (Hash128{0, 4}));
  b.add(1, 2);
  b.add(~uint64_t{0}, 1);
  EXPECT_EQ(a, b);
  EXPECT_EQ((Hash128{0xab, 1}.str()), "000000000000000100000000000000ab");
}

}  // namespace
}  // namespace trireme
