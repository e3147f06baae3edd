// How fast this machine reads memory: the limit that decoding runs against.
#pragma once

#include "base/result.h"

namespace nibble {

// Streaming-read bandwidth in bytes a second with the threads in use (set_threads): the median of
// several passes over a buffer too large for any cache. Fails where the machine has no memory for
// it.
Result<double> measure_read_bandwidth();

}  // namespace nibble
