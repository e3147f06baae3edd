#include "base/cores.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/common.h"
#include "cli/machine.h"
#include "export/export.h"
#include "runtime/energy.h"
#include "runtime/limits.h"

namespace nibble {
namespace {

// One thing that was looked at. Not good: `advice` says what would help.
struct Finding {
  std::string what, seen, advice;
};

Finding kernels() {
  std::string others;
  for (const KernelTableState& t : kernel_table_states()) {
    if (t.chosen.empty())
      others += fmt::format("{}{}{}", others.empty() ? "" : ", ", t.name,
                            t.runs_here ? "" : " (not on this CPU)");
  }
  std::string name = *kernel_table_name();  // the program checked it before any command
  Finding f{"kernels", fmt::format("{}; also built: {}", name, others), ""};
  if (name == "reference")
    f.advice = "portable code, many times slower: no vector instructions that nibble knows here";
  return f;
}

Finding memory() {
  MachineMemory m = machine_memory();
  if (m.total <= 0) return {"memory", "unknown", "/proc/meminfo does not tell"};
  Finding f{"memory", fmt::format("{} of {} free", bytes_text(m.available), bytes_text(m.total)),
            ""};
  if (m.available < int64_t{1} << 30)
    f.advice = "less than 1 GB: give quantize --max-memory, its windows then wait on disk";
  return f;
}

Finding huge_pages() {
  Result<std::string> mode = read_file("/sys/kernel/mm/transparent_hugepage/enabled", 4096);
  if (!mode) return {"huge pages", "unknown", ""};
  size_t at = mode->find('['), end = mode->find(']');
  std::string chosen = at < end ? mode->substr(at + 1, end - at - 1) : *mode;
  return {"huge pages", chosen,
          chosen == "never" ? "packed weights are read faster on them: set madvise in "
                              "/sys/kernel/mm/transparent_hugepage/enabled"
                            : ""};
}

Result<Finding> limits() {
  Limits look = NB_TRY(LimitMeter::open()).look();
  std::string macs = look.macs > 0 ? fmt::format("{:.0f} GMAC/s of bytes", look.macs / 1e9)
                                   : "multiplications not measured by these kernels";
  return Finding{"limits",
                 fmt::format("reads {:.1f} GB/s, {}, on {} threads (one look)",
                             look.read_bytes / 1e9, macs, thread_count()),
                 ""};
}

Finding energy() {
  auto meter = EnergyMeter::find();
  return {"energy", meter ? meter->name() : "no meter that this user may read", ""};
}

Finding data(const char* what, const char* folder, const char* without) {
  auto found = find_data(folder);
  return {what, found.value_or("not beside the program"), found ? "" : without};
}

Finding exports() {
  std::string names;
  for (const ExportFormat* f : export_formats())
    names += std::string(names.empty() ? "" : " ") + f->name;
  return {"exports", names, ""};
}

Result<int> doctor(bool json) {
  std::vector<Finding> all = {
      {"nibble", NIBBLE_VERSION, ""},
      {"processor", fmt::format("{}, {} cores for this program", cpu_name(), usable_cores().size()),
       ""},
      kernels(),
      memory(),
      huge_pages(),
      NB_TRY(limits()),
      energy(),
      data("model", "models/tales-3.7m", "commands need a MODEL then"),
      data("devices", "devices", "nibble plan and nibble devices need them"),
      exports(),
  };
  Json list = Json::array();
  for (const Finding& f : all) {
    list.push_back({{"what", f.what}, {"seen", f.seen}, {"advice", f.advice}});
    if (json) continue;
    put_line("{:<10} {}", f.what, f.seen);
    if (!f.advice.empty()) put_line("{:<10}   -> {}", "", f.advice);
  }
  if (json) put_json(list);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  add_threads_option(app);
  add_json_option(app, *json);
  return [json] { return doctor(*json); };
}

}  // namespace

const Command kCommand_doctor = {"doctor", "what this build and this machine can do", setup};

}  // namespace nibble
