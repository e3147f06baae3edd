// What the steps of a job will take, from the same steps on slices of the model, run and timed now.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/job_run.h"

namespace nibble {

struct JobEstimate {
  // Of each step in order, as a run of its own. Empty: `reason` tells why nothing is known.
  std::vector<double> seconds;
  std::string basis, reason;
};

// Seconds of one step at the corners of 1 and 2 blocks by few and many tokens (or windows); equal
// counts where it reads none. They grow in a straight line along each.
struct SliceTimes {
  double few[2] = {}, many[2] = {};  // of 1 and 2 blocks
  int64_t few_count = 0, many_count = 0;
  double at(int64_t blocks, int64_t count) const;
};

JobEstimate estimate_job(const Job& job);

}  // namespace nibble
