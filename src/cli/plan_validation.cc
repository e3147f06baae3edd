#include "cli/plan_validation.h"

#include <cmath>

#include "base/log.h"
#include "cli/common.h"
#include "cli/machine.h"
#include "cli/measured_recipe.h"
#include "device/kernel_rates.h"
#include "device/plan.h"
#include "model/weights.h"

namespace nibble {
namespace {

constexpr double kAllowed = .2;
// What is timed begins with nothing in the cache, and writes 32 tokens.
constexpr int64_t kContext = 0;

struct Compared {
  std::string scheme, test;
  double predicted = 0, measured = 0;  // tokens a second
  double ratio() const { return predicted / measured; }
};

// The machine's pace changes within minutes: kernels are measured before and after the run that
// they are to predict.
Result<KernelRate> middle(const std::string& scheme, const KernelRate& before) {
  KernelRate after = NB_TRY(measure_kernels(scheme));
  return KernelRate{(before.decode + after.decode) / 2, (before.prefill + after.prefill) / 2};
}

Result<std::vector<Compared>> compare(const DecoderConfig& config, const std::string& model,
                                      PlanRow row, DeviceProfile& device, int64_t prompt) {
  std::vector<std::string> names = {row.form.blocks->name(), row.form.head->name()};
  for (const std::string& name : names) device.kernels[name] = NB_TRY(measure_kernels(name));
  row.arguments.insert(row.arguments.end(), {"--method", "rtn"});
  MeasuredRecipe seen =
      NB_TRY(measure_recipe({model, "", 0, /*speed=*/true, prompt}, row.arguments));
  for (const std::string& name : names)
    device.kernels[name] = NB_TRY(middle(name, device.kernels[name]));
  Prediction time = predict(config, row.form, row.cost, device, prompt);
  return std::vector<Compared>{{row.name, "decode", 1 / time.decode, seen.decode},
                               {row.name, fmt::format("pp{}", prompt),
                                static_cast<double>(prompt) / time.prefill, seen.prefill}};
}

}  // namespace

Result<int> validate_plan(const std::string& model, int64_t prompt, bool json) {
  Weights weights = NB_TRY(Weights::open(model));
  DeviceProfile device = NB_TRY(measure_machine());
  std::vector<PlanRow> rows = plan_rows(weights.config(), device, kContext, prompt);
  std::erase_if(rows, [](const PlanRow& r) { return r.arguments.empty(); });
  std::vector<Compared> all;
  Progress progress("scheme", static_cast<int64_t>(rows.size()));
  for (const PlanRow& row : rows) {
    progress.step(static_cast<int64_t>(all.size() / 2), row.name);
    for (Compared& c : NB_TRY(compare(weights.config(), model, row, device, prompt)))
      all.push_back(std::move(c));
  }
  Json list = Json::array();
  double worst = 0;
  if (!json)
    put_line("{:<13} {:<7} {:>10} {:>10} {:>6}", "scheme", "test", "predicted", "measured",
             "ratio");
  for (const Compared& c : all) {
    worst = std::max(worst, std::abs(c.ratio() - 1));
    list.push_back({{"scheme", c.scheme},
                    {"test", c.test},
                    {"predicted", c.predicted},
                    {"measured", c.measured},
                    {"ratio", c.ratio()}});
    if (!json)
      put_line("{:<13} {:<7} {:>10.4g} {:>10.4g} {:>6.2f}", c.scheme, c.test, c.predicted,
               c.measured, c.ratio());
  }
  if (json) put_json({{"model", model}, {"allowed", kAllowed}, {"worst", worst}, {"tests", list}});
  return worst > kAllowed ? 1 : 0;
}

}  // namespace nibble
