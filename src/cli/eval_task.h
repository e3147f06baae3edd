// `nibble eval --task`: its options, and the run.
#pragma once

#include "cli/commands.h"
#include "eval/answers.h"
#include "eval/task_scores.h"
#include "kernels/kernels.h"

namespace nibble {

// What every kind of evaluation is about.
struct EvalModels {
  std::string model, lora;            // the folder is there
  std::string against, against_lora;  // the float model, or empty
  Activations activations = Activations::kFloat;
  int64_t context = 0;  // tokens; 0: not given
  bool json = false;
};

struct TaskFlags {
  TaskOptions task;
  AnswerOptions answers;
  std::string journal;
};
void add_task_options(CLI::App& app, TaskFlags& flags);
// Answers, scores, prints.
Result<int> run_task(const TaskFlags& flags, const EvalModels& models);

// The figures alone.
Json scores_json(const TaskScores& scores);
void print_scores(const TaskScores& scores, const Task& task);

}  // namespace nibble
