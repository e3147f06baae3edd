#include "cli/machine.h"

#include <sys/utsname.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/common.h"
#include "cli/help.h"
#include "device/kernel_rates.h"
#include "runtime/limits.h"
#include "runtime/spread.h"

namespace nibble {
namespace {

// Without a decoder at hand, what happens beside the products stays unmeasured, and so does the
// rest: a profile has both or neither.
Status measure_kernels_of(DeviceProfile& profile) {
  auto folder = find_data("models/tales-3.7m");
  if (!folder) return {};
  for (const char* scheme : rated_schemes())
    profile.kernels[scheme] = NB_TRY(measure_kernels(scheme));
  profile.block = measure_block(NB_TRY(Decoder::load(*folder, Activations::kInt8Block32)));
  profile.sources["kernels, block"] = "measured with the bandwidth";
  return {};
}

}  // namespace

std::string cpu_name() {
  if (auto text = read_file("/proc/cpuinfo", 1 << 26)) {
    size_t at = text->find("model name");
    if (at != std::string::npos && (at = text->find(": ", at)) != std::string::npos)
      return text->substr(at + 2, text->find('\n', at) - at - 2);
  }
  utsname info;
  return ::uname(&info) == 0 ? info.machine : "unknown CPU";
}

// The median of some looks: the machine may be busy with other work.
Result<DeviceProfile> measure_machine() {
  constexpr int kLooks = 15;
  LimitMeter meter = NB_TRY(LimitMeter::open());
  std::vector<double> reads, macs;
  for (int i = 0; i < kLooks; ++i) {
    Limits look = meter.look();
    reads.push_back(look.read_bytes);
    macs.push_back(look.macs);
  }
  DeviceProfile out;
  out.slug = "this-machine";
  out.name = cpu_name();
  out.kind = "cpu";
  MachineMemory memory = machine_memory();
  if (memory.available <= 0) return fail("/proc/meminfo: does not tell how much memory there is");
  out.memory = static_cast<double>(memory.total);
  out.usable = static_cast<double>(memory.available);
  out.measured = spread_of(reads).median;
  out.bandwidth = out.measured;
  if (double peak = spread_of(macs).median; peak > 0) out.peaks["int8"] = 2 * peak;
  out.schemes = {"w8", "w6", "w5", "w4", "w3", "w2"};
  out.formats = {"native", "gguf", "onnx"};
  std::string how = fmt::format("measured by nibble devices measure, {} threads, median of {}",
                                thread_count(), kLooks);
  out.sources = {{"measured_gbs, peaks", how},
                 {"bandwidth_gbs", "as measured: what the bus could do is not known"},
                 {"memory_gb, usable_gb", "/proc/meminfo at that time"}};
  NB_OK(measure_kernels_of(out));
  return out;
}

Result<DeviceProfile> find_device(const std::string& name) {
  if (name == "this") return measure_machine();
  if (name.ends_with(".yaml")) return read_device(name);
  auto folder = find_data("devices");
  if (!folder) return fail("devices/: the profiles are not beside the program");
  std::string path = *folder + "/" + name + ".yaml";
  if (name.find('/') != name.npos || !path_exists(path))
    return usage("{} is no known device; `nibble devices` lists them", in_quotes(name));
  return read_device(path);
}

}  // namespace nibble
