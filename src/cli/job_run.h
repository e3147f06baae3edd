// The steps of a job, each a nibble command whose result is kept beside what it made, so that an
// interrupted job goes on where it stopped.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/job_file.h"

namespace nibble {

struct JobStep {
  std::string name;                    // "quantize", "export gguf"
  std::vector<std::string> arguments;  // of the command
  std::string makes;                   // what stands when it is done; may be empty
};

// A bound and what was measured: "max_increase".
struct GateVerdict {
  std::string gate;
  double allowed = 0, measured = 0;
  bool met = false;
};

// In the order in which they run.
std::vector<JobStep> steps_of(const Job& job);
// The bounds that this step's result decides.
Result<std::vector<GateVerdict>> verdicts_of(const Job& job, const JobStep& step,
                                             const Json& result);

// What is known of a job's steps from runs before this one: OUTPUT/job.json.
class JobRecord {
 public:
  // An unreadable record is an error; none is an empty one.
  static Result<JobRecord> open(const Job& job);
  // The result of this step where it was done with the same arguments on the same inputs, after the
  // same steps, and what it made still stands. Steps are asked for in order.
  std::optional<Json> done(const JobStep& step);
  // Seconds that the step took when it last ran, with whatever arguments; 0: never.
  double seconds_before(const JobStep& step) const;
  // Both of the step that done() was asked for last. begin(): whether just this step was begun
  // before and not kept, so that what it left can be gone on with.
  Result<bool> begin();
  Status keep(const JobStep& step, double seconds, const Json& result);

 private:
  explicit JobRecord(const Job& job);
  std::string key_after(const JobStep& step) const;
  Status write() const;
  // key_: of all that the steps so far depend on; step_key_: of the step that was asked for last.
  std::string path_, key_, step_key_, begun_;
  Json steps_ = Json::object();
};

}  // namespace nibble
