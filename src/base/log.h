// Log lines for people: time, level, text; to stderr and, once set, to a file. spdlog does the work in
// log.cpp. Safe from any thread.
#pragma once

#include <string>

namespace trireme {

enum class LogLevel { debug, info, warn, error };

void log(LogLevel level, const std::string& text);
inline void log_info(const std::string& text) { log(LogLevel::info, text); }
inline void log_warn(const std::string& text) { log(LogLevel::warn, text); }
inline void log_error(const std::string& text) { log(LogLevel::error, text); }

/// Lines below `level` are dropped (default info; TRIREME_LOG=debug|info|warn|error at start).
void set_log_level(LogLevel level);
/// Of those, stderr gets the lines from `level` on; a file still gets all.
void set_console_level(LogLevel level);
/// Also writes every line to `path` (appended). Replaces an earlier file; empty: none.
void set_log_file(const std::string& path);

}  // namespace trireme
