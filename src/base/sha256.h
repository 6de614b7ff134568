// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104): who knows the secret of a job may join it. Not for bulk data; see
// hash.h for that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace trireme {

using Digest = std::array<std::byte, 32>;

Digest sha256(std::span<const std::byte> bytes);
Digest hmac_sha256(std::string_view key, std::span<const std::byte> message);

/// Compares in a time that does not depend on where the two differ.
bool equal_digests(const Digest& a, const Digest& b);

}  // namespace trireme
