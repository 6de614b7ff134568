// The events of a run that was stopped and killed on its way, read back by the real tensorboard, against metrics.jsonl.
// Needs a Python that has it (./test.sh makes one): TRIREME_TENSORBOARD_PYTHON, or the one the build was configured
// with.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "system/tiny_run.h"

namespace trireme {
namespace {

using testing::Child;

std::string python() {
  const char* given = std::getenv("TRIREME_TENSORBOARD_PYTHON");
  return cat("'", given != nullptr ? given : TRIREME_TENSORBOARD_PYTHON, "'");
}

/// The scalars as the real reader sees them: {tag: [[step, value, wall time], ...]}.
Json read_events(const std::string& folder, const testing::TempDir& dir) {
  const std::string out = dir.path("scalars.json"), err = dir.path("scalars.err");
  const std::string script = TRIREME_SOURCE_DIR "/tests/system/tensorboard_check.py";
  const int status = std::system(cat(python(), " '", script, "' ", folder, " >", out, " 2>", err).c_str());
  EXPECT_EQ(status, 0) << read_file(err);
  return read_json(out);
}

TEST(TensorBoard, ReadsTheCurvesOfMetricsJsonl) {
  if (std::system(cat(python(), " -c 'import tensorboard' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << python() << " has no tensorboard; ./test.sh installs it into build/venv where PyPI can be reached";
  const testing::TempDir dir;
  const std::string recipe = testing::write_tiny_recipe(dir.path()), folder = dir.path("run");
  for (const char* failpoint : {"train.step:kill:11", "train.step:kill:10"}) {
    Child child({"train", recipe}, {.environment = {cat("TRIREME_FAILPOINT=", failpoint)}});
    ASSERT_EQ(child.wait(), -SIGKILL) << child.err();
  }
  testing::train_to_end(recipe);

  const Json scalars = read_events(folder, dir);
  const std::pair<const char*, const char*> curves[] = {{"train/loss", "loss"},
                                                        {"train/learning_rate", "lr"},
                                                        {"train/grad_norm", "grad_norm"},
                                                        {"train/tokens_per_second", "tokens_per_second"},
                                                        {"eval/loss", "eval_loss"}};
  std::map<std::string, std::vector<std::pair<int64_t, double>>> expected;
  for (const std::string& line : split(read_file(folder + "/metrics.jsonl"), '\n')) {
    if (line.empty()) continue;
    const Json row = Json::parse(line, "metrics.jsonl");
    for (const auto& [tag, key] : curves)
      if (const Json* value = row.find(key)) expected[tag].emplace_back(row.at("step").as_integer(), value->as_real());
  }
  EXPECT_EQ(expected["train/loss"].size(), static_cast<size_t>(testing::kTinySteps));
  EXPECT_EQ(expected["eval/loss"].size(), 3u);
  for (const auto& [tag, points] : expected) {
    const std::vector<Json>& found = scalars.at(tag).items();
    ASSERT_EQ(found.size(), points.size()) << tag;
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_EQ(found[i].items()[0].as_integer(), points[i].first) << tag;
      EXPECT_EQ(static_cast<float>(found[i].items()[1].as_real()), static_cast<float>(points[i].second)) << tag;
    }
  }
}

}  // namespace
}  // namespace trireme
