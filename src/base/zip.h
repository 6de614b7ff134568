// Members of a ZIP file in memory (PKWARE's APPNOTE 6.3; stored and deflated members, with or without ZIP64). Every
// size and offset is held against the file before it is used, and what unpacks is at most 1032 times as large as its
// member.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trireme {

struct ZipMember {
  std::string name;
  bool deflated = false;
  uint64_t size = 0;                  // unpacked
  std::span<const std::byte> packed;  // of the file
  uint32_t crc = 0;

  /// Its bytes: a part of the file where it is stored, else unpacked into `memory`. IoError where they are damaged.
  std::span<const std::byte> bytes(std::vector<std::byte>& memory, const std::string& file) const;
};

/// The list of members. IoError naming `file` and the byte where it is cut short or damaged, or uses what is not read.
std::vector<ZipMember> read_zip(std::span<const std::byte> bytes, const std::string& file);

}  // namespace trireme
