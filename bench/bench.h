// What the benches share: the way in, the middle of times, and rows appended to a file of JSON lines.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "device/cuda.h"

namespace trireme {

/// Runs `run` with the words of the command line, after a restart with the best kernels of the matrix library; an
/// exception becomes a line on standard error and exit code 1.
int bench_main(char** argv, int (*run)(std::vector<std::string>));

/// "NAME WORDS...", for the rows.
std::string command_of(const std::string& name, const std::vector<std::string>& words);

double median(std::vector<double> values);

/// Seconds of the processor that `work` takes on this thread's process: a busy machine does not count.
double cpu_seconds(const std::function<void()>& work);

/// Runs `step` op by op and prints the times of its ops, the dearest first, to standard error.
void print_profile(CudaContext& cuda, const std::function<void()>& step);

/// Prints rows, one JSON line each, and appends them to `out` unless that is empty.
void put_rows(const std::vector<Json>& rows, const std::string& out);

}  // namespace trireme
