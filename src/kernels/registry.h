// The list of kernel tables and the one in use.
#pragma once

#include <span>

#include "kernels/kernels.h"
#include "kernels/table.h"

namespace nibble {

// Every table compiled in, best first; the last is the reference.
std::span<const KernelTable* const> kernel_tables();
bool runs_here(const KernelTable& table);
// The one in use: a broken promise if NIBBLE_KERNELS is wrong (see kernel_table_name).
const KernelTable& chosen_table();

}  // namespace nibble
