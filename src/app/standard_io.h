// Standard input and output, checked: a full disk or a closed pipe must not look like success.
#pragma once

#include <string>
#include <string_view>

namespace trireme {

/// Writes `text` and hands it to the operating system. IoError where that fails.
void print(std::string_view text);

/// The whole of the file `path`, or of standard input where it is "-". IoError where it cannot be read.
std::string read_input(const std::string& path);

}  // namespace trireme
