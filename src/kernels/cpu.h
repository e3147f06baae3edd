// What this CPU and its operating system offer.
#pragma once

#include "kernels/table.h"

namespace nibble {

CpuFeatures detect_cpu();

}  // namespace nibble
