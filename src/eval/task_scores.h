// What the answers to a task say: figures with their uncertainty, alone or beside the float
// model's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/tasks/task.h"

namespace nibble {

// A figure, and the range in which 95 % of its values on resampled items lie (bootstrap, 10,000
// times; the same every time).
struct Estimate {
  double value = 0, low = 0, high = 0;
};

struct MetricScore {
  std::string name, signature;  // the latter empty where a metric has none
  Estimate own;
  std::optional<double> reference;     // the float model's
  std::optional<Estimate> difference;  // own - reference, both on the same resampled items
};

// Averages hide answers that changed both ways.
struct Flips {
  int64_t changed = 0;           // another option, or another text
  int64_t lost = 0, gained = 0;  // right answers that became wrong, and wrong ones right
};

struct TaskScores {
  std::vector<MetricScore> metrics;
  std::optional<Flips> flips;
};

// One answer for each item; `reference` is empty where there is no float model.
TaskScores score_task(const Task& task, std::span<const Answer> answers,
                      std::span<const Answer> reference);

}  // namespace nibble
