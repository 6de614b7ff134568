// How far a run is, for the person who waits: one line redrawn in place on a terminal, a plain line every few seconds
// elsewhere. Steps count from 1. The caller passes the time, so that tests need not wait.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace trireme {

class Progress {
 public:
  /// `terminal`: `out` understands carriage return and ANSI erase. The run starts at `first_step` - 1 finished steps.
  Progress(std::FILE* out, bool terminal, int64_t finished_steps, int64_t total_steps, double now_seconds);

  /// Step `step` is done. Draws at most ten times a second on a terminal, else a line every five seconds.
  void update(int64_t step, double loss, double tokens_per_second, double now_seconds);
  /// Removes the drawn line, so that something else can be printed; the next update draws it again.
  void clear();
  /// Draws the last state and ends the line.
  void finish();

  /// "[####......]  40/100  loss 3.214  12.3 k tokens/s  20 s left", at most `columns` wide.
  std::string text(int columns) const;

 private:
  void draw();

  std::FILE* out_;
  bool terminal_;
  int64_t first_, step_, total_;
  double begin_, now_, drawn_;
  double loss_ = 0, tokens_per_second_ = 0;
};

}  // namespace trireme
