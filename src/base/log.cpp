#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr std::array<std::string_view, 4> kLevelNames{"debug", "info", "warn", "error"};
constexpr std::array kLevels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};

spdlog::level::level_enum spdlog_level(LogLevel level) { return kLevels[static_cast<size_t>(level)]; }

spdlog::level::level_enum initial_level() {
  const char* wanted = std::getenv("TRIREME_LOG");
  if (wanted == nullptr) return spdlog::level::info;
  for (size_t i = 0; i < kLevelNames.size(); ++i)
    if (kLevelNames[i] == wanted) return kLevels[i];
  throw ConfigError(cat("TRIREME_LOG=", wanted, " is no log level", did_you_mean(wanted, kLevelNames)));
}

/// The one process-wide state of the program: stderr is process-wide too.
struct Log {
  spdlog::sink_ptr console = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  std::shared_ptr<spdlog::sinks::dist_sink_mt> sinks = std::make_shared<spdlog::sinks::dist_sink_mt>();
  spdlog::logger logger{"trireme", sinks};
  std::mutex mutex;
  spdlog::sink_ptr file;

  Log() {
    sinks->add_sink(console);
    logger.set_pattern("%Y-%m-%d %H:%M:%S.%e %^%-7l%$ %v");
    logger.set_level(initial_level());
    logger.flush_on(spdlog::level::debug);
  }

  static Log& get() {
    static Log* log = new Log;  // never destroyed: a thread may still log while the program ends
    return *log;
  }
};

}  // namespace

void log(LogLevel level, const std::string& text) {
  Log::get().logger.log(spdlog_level(level), spdlog::string_view_t(text));
}

void set_log_level(LogLevel level) { Log::get().logger.set_level(spdlog_level(level)); }

void set_console_level(LogLevel level) { Log::get().console->set_level(spdlog_level(level)); }

void set_log_file(const std::string& path) {
  Log& log = Log::get();
  spdlog::sink_ptr file;
  if (!path.empty()) {
    try {
      file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    } catch (const spdlog::spdlog_ex& e) {
      throw IoError(cat("log file ", path, ": ", e.what()));
    }
    file->set_pattern("%Y-%m-%d %H:%M:%S.%e %-7l %v");
  }
  std::lock_guard lock(log.mutex);
  if (log.file) log.sinks->remove_sink(log.file);
  log.file = std::move(file);
  if (log.file) log.sinks->add_sink(log.file);
}

}  // namespace trireme
