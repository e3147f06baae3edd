#include "base/file.h"
#include "cli/common.h"
#include "cli/help.h"
#include "device/claim.h"

namespace nibble {
namespace {

struct PlanOptions {
  std::string check;
  bool json = false;
};

// 0 where the claim may be true, 1 where it cannot be.
Result<int> check_claim(const PlanOptions& o) {
  Claim claim = NB_TRY(parse_claim(o.check));
  auto folder = find_data("devices");
  if (!folder) return fail("devices/: the profiles are not beside the program");
  std::string path = *folder + "/" + claim.device + ".yaml";
  if (!path_exists(path))
    return usage("{} is no known device; `nibble devices` lists them", in_quotes(claim.device));
  DeviceProfile device = NB_TRY(read_device(path));
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
  app.add_option("--check", o->check,
                 "Judge a claim, as \"7B int8 12 ms jetson-nano\", by what the device's bus and "
                 "arithmetic allow; exit code 1 where it cannot be")
      ->required()
      ->type_name("TEXT");
  add_json_option(app, o->json);
  app.footer("Example: nibble plan --check \"7B int8 12 ms jetson-nano\"");
  return [o] { return check_claim(*o); };
}

}  // namespace

const Command kCommand_plan = {"plan", "what a device can do with a model", setup};

}  // namespace nibble
