// A small state to save, and helpers to compare and damage what was saved.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/save.h"
#include "checkpoint/store.h"
#include "support/temp_dir.h"

namespace trireme::testing {

/// Weights of two types and optimizer state, all different and fixed by `step`.
struct SampleState {
  std::vector<float> matrix, moment;
  std::vector<uint16_t> vector;
  int64_t step;

  explicit SampleState(int64_t s = 7, int64_t rows = 5)
      : matrix(static_cast<size_t>(rows) * 3), moment(matrix.size()), vector(4), step(s) {
    for (size_t i = 0; i < matrix.size(); ++i) {
      matrix[i] = static_cast<float>(s) + static_cast<float>(i) * 0.25F;
      moment[i] = 1.0F / static_cast<float>(i + 1 + static_cast<size_t>(s));
    }
    for (size_t i = 0; i < vector.size(); ++i) vector[i] = to_bf16(static_cast<float>(s) * static_cast<float>(i)).bits;
  }

  Tensor matrix_view() { return {matrix.data(), DType::f32, kCpu, {static_cast<int64_t>(matrix.size()) / 3, 3}}; }
  Tensor moment_view() { return {moment.data(), DType::f32, kCpu, {static_cast<int64_t>(moment.size()) / 3, 3}}; }
  Tensor vector_view() { return {vector.data(), DType::bf16, kCpu, {4}}; }

  CheckpointContent content() {
    CheckpointContent c;
    c.weights = {named("model.a.weight", matrix_view()), named("model.b.bias", vector_view())};
    c.optimizer = {named("a.weight.exp_avg", moment_view())};
    c.config["model_type"] = "gpt2";
    c.trainer_state["step"] = step;
    c.trainer_state["seed"] = 42;
    c.info["tokens"] = step * 100;
    return c;
  }
};

inline SavedCheckpoint save_sample(const std::string& run_dir, int64_t step, FileSystem& fs = real_file_system()) {
  SampleState state(step);
  return save_checkpoint(run_dir, step, state.content(), fs, nullptr);
}

/// The step of the newest good checkpoint, checked to be whole and to hold what save_sample put there; -1: none.
inline int64_t newest_step(const std::string& run_dir) {
  const auto found = newest_valid(
      run_dir, [](const std::string&, const std::string&) {}, nullptr);
  if (!found) return -1;
  const int64_t step = found->manifest().step;
  SampleState expected(step), read(0);
  found->weight("model.a.weight").read(read.matrix_view());
  found->weight("model.b.bias").read(read.vector_view());
  found->optimizer("a.weight.exp_avg").read(read.moment_view());
  const bool equal = read.matrix == expected.matrix && read.vector == expected.vector &&
                     read.moment == expected.moment && found->trainer_state().at("step").as_integer() == step;
  return equal ? step : -2;
}

/// What an IoError of `fn` says; empty where it throws none.
template <class Fn>
std::string io_error(Fn fn) {
  try {
    fn();
  } catch (const IoError& e) {
    return e.what();
  }
  return "";
}

inline void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Flips one bit of a file in its place.
inline void flip_bit(const std::string& path, size_t bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(bit / 8));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(bit / 8));
  file.put(static_cast<char>(byte ^ 1 << bit % 8));
}

}  // namespace trireme::testing
