// Counts what a program takes from the heap, so that a loop can be shown to take nothing.
#pragma once

#include <cstdint>

namespace nibble {

// Calls of operator new by all threads since the program began, 0 under a sanitizer. A program that
// calls this has operator new and delete replaced by ones that count.
int64_t allocations_so_far();

}  // namespace nibble
