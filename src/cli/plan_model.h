// `nibble plan MODEL --device D`: its options, and the run.
#pragma once

#include "cli/commands.h"
#include "device/plan.h"

namespace nibble {

struct PlanFlags {
  std::string model, device, ram, max_loss, goal = "quality", text, calibration, picture;
  std::string power_mode;                         // empty: as the profile says, or the goal picks
  std::string output, windows, window_length;     // of the matrix
  double latency = 0;                             // ms a token; 0: no bound
  int64_t context = 0, prompt = 512, tokens = 0;  // 0: the model's (at most 2048); all the text
  bool quick = false, validate = false, matrix = false, json = false;
};
void add_plan_options(CLI::App& app, PlanFlags& flags);
// 0 where a form meets every bound; an error that says which bound cannot be met where none does.
Result<int> plan_model(PlanFlags& flags);

}  // namespace nibble
