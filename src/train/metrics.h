// What a run tells about itself step by step: metrics.jsonl for programs, a log line for people. A row reaches the
// operating system before append() returns, and building it takes nothing from the heap.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

namespace trireme {

struct StepRecord {
  int64_t step = 0;         // global step, from 1, those left out included
  int64_t epoch = 0;        // passes over the training split before this step's first sample
  int64_t batch = 0;        // this step's global batch within the epoch, from 0
  double loss = 0;          // mean over the step's targets
  double lr = 0;            // with which this step updated the parameters
  double grad_norm = 0;     // global, before clipping
  int64_t tokens = 0;       // since step 1, this one included
  int64_t step_tokens = 0;  // of this step
  double step_ms = 0;       // wall time of the whole step, waiting for data included
  double reader_ms = 0;     // waiting for data
  bool skipped = false;     // the update was left out (train.spike_z_score, or an overflow in float16)
  std::optional<double> eval_loss;
  std::optional<double> loss_scale;  // of a float16 run: with which this step was computed
  int64_t skipped_steps = 0;         // left out so far for overflows: the learning rate does not count them

  /// False of a step that overflowed.
  bool finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

  double tokens_per_second() const { return step_ms > 0 ? static_cast<double>(step_tokens) * 1e3 / step_ms : 0; }
};

/// metrics.jsonl: one JSON object a step. Numbers that are NaN or infinite are written as null.
class MetricsWriter {
 public:
  /// Opens `path` to go on after step `last_step`: rows of later steps and a torn last line are cut off; without a
  /// file, or with last_step 0, it starts empty. IoError where it cannot be read or written.
  MetricsWriter(const std::string& path, int64_t last_step);

  void append(const StepRecord& record);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// Averages over the steps since the last log line.
class LogWindow {
 public:
  void add(const StepRecord& record);

  /// What a line says beyond its steps.
  struct Machine {
    int64_t ranks = 1;           // data-parallel or not: `ips` is per rank
    double peak_bytes = 0;       // of this process
    double flops_per_token = 0;  // forward and backward, matrix products
    double gemm_rate = 0;        // FLOP/s of a large matrix product on this machine; 0: not measured, not printed
  };
  /// "global step 10, epoch: 0, batch: 9, loss: 6.132, avg_reader_cost: 0.00010 sec, ..." for the last step added;
  /// costs, speed and ips are means over the window, which then begins anew.
  std::string line(const Machine& machine);

 private:
  StepRecord last_;
  int64_t steps_ = 0, tokens_ = 0;
  double step_ms_ = 0, reader_ms_ = 0;
};

/// Largest resident set of this process so far, in bytes (VmHWM).
double peak_memory_bytes();
/// Memory that new processes could have without swapping, in bytes: of the machine, or of this control group.
double free_memory_bytes();

}  // namespace trireme
