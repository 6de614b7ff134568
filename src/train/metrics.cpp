#include "train/metrics.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"

namespace trireme {
namespace {

/// A JSON object on one line, in a buffer of its own.
class Row {
 public:
  Row() { put("{"); }
  void add(std::string_view key, int64_t value) {
    name(key);
    size_ = std::to_chars(text_.data() + size_, text_.data() + text_.size(), value).ptr - text_.data();
  }
  void add(std::string_view key, double value) {
    name(key);
    if (!std::isfinite(value)) return put("null");
    size_ = std::to_chars(text_.data() + size_, text_.data() + text_.size(), value).ptr - text_.data();
  }
  void add_true(std::string_view key) {
    name(key);
    put("true");
  }
  std::string_view finish() {
    put("}\n");
    return {text_.data(), size_};
  }

 private:
  void put(std::string_view part) {
    std::memcpy(text_.data() + size_, part.data(), part.size());
    size_ += part.size();
  }
  void name(std::string_view key) {
    put(size_ > 1 ? ",\"" : "\"");
    put(key);
    put("\":");
  }
  std::array<char, 1024> text_{};  // a dozen keys of at most 17 letters with numbers of at most 24
  size_t size_ = 0;
};

/// The step of a row, or nothing where the line is no such row.
std::optional<int64_t> row_step(std::string_view line) {
  try {
    return Json::parse(line, "row").at("step").as_integer();
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// The rows of `text` up to `last_step`. Lines that are no rows, as a crash leaves them, are dropped.
std::string kept_rows(std::string_view text, int64_t last_step, int64_t& damaged) {
  std::string kept;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // torn: append() writes the newline last
    const std::string_view line = text.substr(0, end + 1);
    text.remove_prefix(line.size());
    const std::optional<int64_t> step = row_step(line);
    if (!step) {
      ++damaged;
    } else if (*step <= last_step) {
      kept += line;
    }
  }
  return kept;
}

void cut_back(const std::string& path, int64_t last_step) {
  int64_t damaged = 0;
  std::string kept;
  if (last_step > 0) kept = kept_rows(MappedFile(path).text(), last_step, damaged);
  if (damaged > 0) log_warn(cat(path, ": dropped ", damaged, " damaged lines"));
  write_file(path, kept);
}

std::string seconds(double milliseconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.5f sec", milliseconds * 1e-3);
  return text.data();
}

}  // namespace

MetricsWriter::MetricsWriter(const std::string& path, int64_t last_step) : path_(path) {
  // Only a regular file is ever replaced: a pipe or a device named here must stay what it is.
  if (std::filesystem::is_regular_file(path)) cut_back(path, last_step);
  file_.reset(std::fopen(path.c_str(), "ab"));
  if (!file_) throw IoError(cat("cannot write ", path, ": ", std::strerror(errno)));
}

void MetricsWriter::append(const StepRecord& record) {
  Row row;
  row.add("step", record.step);
  row.add("epoch", record.epoch);
  row.add("batch", record.batch);
  row.add("loss", record.loss);
  row.add("lr", record.lr);
  row.add("grad_norm", record.grad_norm);
  row.add("tokens", record.tokens);
  row.add("tokens_per_second", record.tokens_per_second());
  row.add("step_ms", record.step_ms);
  row.add("reader_ms", record.reader_ms);
  if (record.loss_scale) {
    row.add("loss_scale", *record.loss_scale);
    row.add("skipped_steps", record.skipped_steps);
  }
  if (record.skipped) row.add_true("skipped");
  if (record.eval_loss) row.add("eval_loss", *record.eval_loss);
  const std::string_view text = row.finish();
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() || std::fflush(file_.get()) != 0) {
    throw IoError(cat("cannot write ", path_, ": ", std::strerror(errno)));
  }
}

void LogWindow::add(const StepRecord& record) {
  last_ = record;
  ++steps_;
  tokens_ += record.step_tokens;
  step_ms_ += record.step_ms;
  reader_ms_ += record.reader_ms;
}

std::string LogWindow::line(const Machine& machine) {
  CHECK(steps_ > 0 && step_ms_ > 0, "a log line without steps");
  const auto steps = static_cast<double>(steps_);
  const double per_second = static_cast<double>(tokens_) * 1e3 / step_ms_;
  std::string text =
      cat("global step ", last_.step, ", epoch: ", last_.epoch, ", batch: ", last_.batch,
          ", loss: ", number(last_.loss, 10), ", avg_reader_cost: ", seconds(reader_ms_ / steps),
          ", avg_batch_cost: ", seconds(step_ms_ / steps), ", speed: ", number(steps * 1e3 / step_ms_, 3),
          " step/s, ips_total: ", std::llround(per_second),
          " tokens/s, ips: ", std::llround(per_second / static_cast<double>(machine.ranks)),
          " tokens/s, learning rate: ", number(last_.lr, 6), ", grad norm: ", number(last_.grad_norm, 4),
          ", peak memory: ", human_bytes(machine.peak_bytes));
  if (machine.gemm_rate > 0) {
    const double share = per_second * machine.flops_per_token / machine.gemm_rate;
    text += cat(", of GEMM rate: ", number(100 * share, 3), " %");
  }
  if (last_.eval_loss) text += cat(", eval loss: ", number(*last_.eval_loss, 6));
  if (last_.loss_scale) text += cat(", loss scale: ", number(*last_.loss_scale), ", skipped: ", last_.skipped_steps);
  if (last_.skipped) text += last_.finite() ? ", update skipped: loss spike" : ", update skipped: overflow";
  *this = LogWindow();
  return text;
}

double peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

double free_memory_bytes() {
  double bytes = std::numeric_limits<double>::infinity();
  std::ifstream machine("/proc/meminfo");
  for (std::string word; machine >> word;)
    if (word == "MemAvailable:" && machine >> bytes) bytes *= 1024;
  double most = 0, used = 0;
  std::ifstream limit("/sys/fs/cgroup/memory.max"), now("/sys/fs/cgroup/memory.current");
  if (limit >> most && now >> used) bytes = std::min(bytes, most - used);  // "max" is no number: no limit
  return bytes;
}

}  // namespace trireme
