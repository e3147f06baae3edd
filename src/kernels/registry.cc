#include "kernels/registry.h"

#include <cstdlib>

#include "kernels/cpu.h"

namespace nibble {

#define NIBBLE_KERNEL_TABLE(name) extern const KernelTable kernels_##name;
#include "kernels/kernels.inc"
#undef NIBBLE_KERNEL_TABLE

namespace {

constexpr const KernelTable* kTables[] = {
#define NIBBLE_KERNEL_TABLE(name) &kernels_##name,
#include "kernels/kernels.inc"
#undef NIBBLE_KERNEL_TABLE
};

std::string known_names() {
  std::string names;
  for (const KernelTable* t : kTables) names += (names.empty() ? "" : ", ") + std::string(t->name);
  return names;
}

Result<const KernelTable*> choose() {
  const char* forced = std::getenv("NIBBLE_KERNELS");
  for (const KernelTable* t : kTables) {
    if (!forced || !*forced) {
      if (runs_here(*t)) return t;
    } else if (std::string_view(forced) == t->name) {
      if (runs_here(*t)) return t;
      return fail("NIBBLE_KERNELS={}: this CPU lacks {}", forced, t->needs);
    }
  }
  return fail("NIBBLE_KERNELS={}: no such kernel table (known: {})", forced, known_names());
}

const Result<const KernelTable*>& choice() {
  static const Result<const KernelTable*> chosen = choose();
  return chosen;
}

}  // namespace

std::span<const KernelTable* const> kernel_tables() { return kTables; }

bool runs_here(const KernelTable& table) {
  static const CpuFeatures cpu = detect_cpu();
  return table.supported(cpu);
}

const KernelTable& chosen_table() {
  NB_CHECK(choice().has_value());
  return **choice();
}

Result<std::string> kernel_table_name() {
  if (!choice()) return std::unexpected(choice().error());
  return std::string((*choice())->name);
}

std::vector<KernelTableState> kernel_table_states() {
  const char* forced = std::getenv("NIBBLE_KERNELS");
  const char* why = forced && *forced ? "NIBBLE_KERNELS" : "the best this CPU has";
  std::vector<KernelTableState> states;
  for (const KernelTable* t : kTables)
    states.push_back({t->name, t->needs, runs_here(*t), choice() && *choice() == t ? why : ""});
  return states;
}

std::vector<std::string> describe_kernel_tables() {
  std::vector<std::string> lines;
  for (const KernelTableState& s : kernel_table_states())
    lines.push_back(fmt::format("{}: {} ({}){}", s.name, s.runs_here ? "yes" : "no", s.needs,
                                s.chosen.empty() ? "" : ", chosen: " + s.chosen));
  return lines;
}

}  // namespace nibble
