#include "base/file.h"
#include "cli/common.h"
#include "cli/help.h"
#include "cli/machine.h"
#include "device/profile.h"

namespace nibble {
namespace {

struct DevicesOptions {
  std::string action, output;
  bool json = false;
};

Json as_json(const DeviceProfile& d) {
  Json out = {{"slug", d.slug},
              {"name", d.name},
              {"kind", d.kind},
              {"memory_bytes", d.memory},
              {"usable_bytes", d.usable},
              {"bandwidth_bytes_per_second", d.bandwidth},
              {"expected_bytes_per_second", d.expected_bandwidth()},
              {"peaks_operations_per_second", d.peaks},
              {"schemes", d.schemes},
              {"formats", d.formats},
              {"sources", d.sources}};
  for (const auto& [scheme, rate] : d.kernels)
    out["kernels_macs_per_second"][scheme] = {{"decode", rate.decode}, {"prefill", rate.prefill}};
  out["measured_bytes_per_second"] = d.measured > 0 ? Json(d.measured) : Json(nullptr);
  out["watts"] = d.watts > 0 ? Json(d.watts) : Json(nullptr);
  out["power_modes"] = Json::array();
  for (const PowerMode& m : d.modes)
    out["power_modes"].push_back(
        {{"name", m.name}, {"watts", m.watts}, {"bandwidth_bytes_per_second", m.bandwidth}});
  return out;
}

void put_table(const std::vector<DeviceProfile>& devices) {
  auto known = [](double value) {
    return value > 0 ? fmt::format("{:.3g}", value) : std::string("unknown");
  };
  put_line("{:<18} {:>9} {:>9} {:>6} {:>8} {:>7}  {:<17} {}", "device", "memory GB", "usable GB",
           "GB/s", "measured", "watts", "schemes", "formats");
  for (const DeviceProfile& d : devices)
    put_line("{:<18} {:>9.3g} {:>9.3g} {:>6.4g} {:>8} {:>7}  {:<17} {}", d.slug, d.memory / 1e9,
             d.usable / 1e9, d.bandwidth / 1e9, known(d.measured / 1e9), known(d.watts),
             d.schemes.empty() ? "floats" : fmt::format("{}", fmt::join(d.schemes, " ")),
             fmt::format("{}", fmt::join(d.formats, " ")));
}

Result<int> devices(const DevicesOptions& o) {
  if (o.action == "measure") {
    DeviceProfile profile = NB_TRY(measure_machine());
    std::string text = device_yaml(profile);
    if (!o.output.empty()) NB_OK(write_file(o.output, text));
    if (o.json)
      put_json(as_json(profile));
    else if (o.output.empty())
      put(text);
    else
      put_line("{}: {:.3g} GB/s, {:.3g} GB of memory", o.output, profile.measured / 1e9,
               profile.memory / 1e9);
    return 0;
  }
  if (!o.output.empty()) return usage("-o goes with `nibble devices measure`");
  auto folder = find_data("devices");
  if (!folder) return fail("devices/: the profiles are not beside the program");
  std::vector<DeviceProfile> all = NB_TRY(read_devices(*folder));
  if (!o.json) {
    put_table(all);
    return 0;
  }
  Json list = Json::array();
  for (const DeviceProfile& d : all) list.push_back(as_json(d));
  put_json(list);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<DevicesOptions>();
  app.add_option("ACTION", o->action, "measure: a profile of this machine; without it, the list")
      ->check(CLI::IsMember({"measure"}))
      ->type_name("");
  app.add_option("-o,--output", o->output, "measure: file to write, as devices/NAME.yaml")
      ->type_name("FILE");
  add_threads_option(app);
  add_json_option(app, o->json);
  app.footer("Example: nibble devices measure -o this-machine.yaml");
  return [o] { return devices(*o); };
}

}  // namespace

const Command kCommand_devices = {"devices",
                                  "the devices that are known, and a profile of this one", setup};

}  // namespace nibble
