#include "train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr double kRedrawSeconds = 0.1, kLineSeconds = 5;
constexpr int kPlainColumns = 100;

int columns_of(std::FILE* out) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress(std::FILE* out, bool terminal, int64_t finished_steps, int64_t total_steps, double now_seconds)
    : out_(out),
      terminal_(terminal),
      first_(finished_steps),
      step_(finished_steps),
      total_(total_steps),
      begin_(now_seconds),
      now_(now_seconds),
      drawn_(now_seconds) {}

void Progress::update(int64_t step, double loss, double tokens_per_second, double now_seconds) {
  step_ = step;
  loss_ = loss;
  tokens_per_second_ = tokens_per_second;
  now_ = now_seconds;
  if (now_ - drawn_ >= (terminal_ ? kRedrawSeconds : kLineSeconds)) draw();
}

void Progress::clear() {
  if (!terminal_) return;
  std::fputs("\r\x1b[K", out_);
  std::fflush(out_);
}

void Progress::finish() {
  draw();
  if (terminal_) std::fputc('\n', out_);
  std::fflush(out_);
}

void Progress::draw() {
  drawn_ = now_;
  if (terminal_) {
    std::fprintf(out_, "\r%s\x1b[K", text(columns_of(out_) - 1).c_str());
  } else {
    std::fprintf(out_, "%s\n", text(kPlainColumns).c_str());
  }
  std::fflush(out_);
}

std::string Progress::text(int columns) const {
  std::string facts = cat(" ", step_, "/", total_);
  if (step_ > first_) {
    const double per_step = (now_ - begin_) / static_cast<double>(step_ - first_);
    facts += cat("  loss ", number(loss_, 4), "  ", human_count(tokens_per_second_), " tokens/s  ",
                 human_seconds(per_step * static_cast<double>(total_ - step_)), " left");
  }
  const int width = std::clamp(columns - static_cast<int>(facts.size()) - 2, 0, 40);
  if (width < 4) return facts.substr(1, static_cast<size_t>(std::max(0, columns)));
  const auto done = static_cast<size_t>(static_cast<int64_t>(width) * step_ / std::max<int64_t>(1, total_));
  return cat("[", std::string(done, '#'), std::string(static_cast<size_t>(width) - done, '.'), "]", facts);
}

}  // namespace trireme
