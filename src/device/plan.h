// Which form of a model for a device: every candidate's cost and prediction, budgets, a choice.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "device/cost.h"

namespace nibble {

enum class PlanGoal : uint8_t { kLatency, kSize, kQuality, kEnergy };
Result<PlanGoal> parse_goal(const std::string& name);

// What must hold; nothing: no bound.
struct PlanBudget {
  std::optional<double> latency;  // seconds a token
  // Bytes. Where it is not given: the device's usable memory, and of a TPU, which weights only
  // stream through, none.
  std::optional<double> memory;
  std::optional<double> increase;  // of perplexity, .01 for 1 %
};

// What quantizing costs.
struct PlanLoss {
  double increase = 0;  // of perplexity, relative
  double kl = 0;
  std::optional<double> top1 = {};  // nothing: not measured
  bool estimated = false;           // not made and measured
};

struct PlanRow {
  std::string name;
  PlanForm form;
  std::vector<std::string> arguments;  // of `nibble quantize`; empty: the model as it is
  ModelCost cost;
  Prediction time;
  std::optional<PlanLoss> loss;   // nothing: unknown
  std::string refused;            // why it is out; empty: it meets every bound
  bool best_of_its_pace = false;  // no other one is both faster and better
};

// The forms that are worth a look on this device, best quality first. `context`: tokens of the
// cache, as cost_of.
std::vector<PlanRow> plan_rows(const DecoderConfig& config, const DeviceProfile& device,
                               int64_t context, int64_t prompt);
// Their times anew, on this device.
void time_rows(std::vector<PlanRow>& rows, const DecoderConfig& config, const DeviceProfile& device,
               int64_t prompt);
// Fills in `refused` and `best_of_its_pace`.
void judge_rows(std::vector<PlanRow>& rows, const DeviceProfile& device, const PlanBudget& budget);
// The row that serves the goal best among those that meet every bound; null: there is none.
const PlanRow* choose_row(const std::vector<PlanRow>& rows, PlanGoal goal);
// The power mode in which the row that meets every bound at the fewest joules takes fewest; null:
// none takes fewer than the device as its profile says.
const PowerMode* thriftiest_mode(std::vector<PlanRow> rows, const DecoderConfig& config,
                                 const DeviceProfile& device, const PlanBudget& budget,
                                 int64_t prompt);
// Why there is none, by the row that comes nearest.
std::string refusal(const std::vector<PlanRow>& rows, const DeviceProfile& device,
                    const PlanBudget& budget);

}  // namespace nibble
