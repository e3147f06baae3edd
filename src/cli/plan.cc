#include "cli/common.h"
#include "cli/machine.h"
#include "cli/plan_model.h"
#include "device/claim.h"

namespace nibble {
namespace {

struct PlanOptions : PlanFlags {
  std::string check;
};

// 0 where the claim may be true, 1 where it cannot be.
Result<int> check_claim(const PlanOptions& o) {
  Claim claim = NB_TRY(parse_claim(o.check));
  DeviceProfile device = NB_TRY(find_device(claim.device));
  Verdict v = judge(claim, device);
  std::string text = verdict_text(claim, device, v);
  if (o.json)
    put_json({{"possible", v.possible},
              {"needed_bytes_per_second", v.needed_bandwidth},
              {"bytes_per_second", device.bandwidth},
              {"factor", v.factor},
              {"least_seconds", std::max(v.bus_seconds, v.compute_seconds)},
              {"fits", v.fits},
              {"text", text}});
  else
    put_line("{}", text);
  return v.possible ? 0 : 1;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<PlanOptions>();
  add_model_option(app, o->model);
  add_plan_options(app, *o);
  app.add_option("--check", o->check,
                 "Judge a claim, as \"7B int8 12 ms jetson-nano\", by what the device's bus and "
                 "arithmetic allow; exit code 1 where it cannot be")
      ->type_name("TEXT");
  add_threads_option(app);
  add_json_option(app, o->json);
  app.footer(
      "Examples: nibble plan MODEL --device raspberry-pi-5 --latency 100 --goal quality\n"
      "nibble plan --check \"7B int8 12 ms jetson-nano\"");
  return [o] { return o->check.empty() ? plan_model(*o) : check_claim(*o); };
}

}  // namespace

const Command kCommand_plan = {"plan", "what a device can do with a model", setup};

}  // namespace nibble
