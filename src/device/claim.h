// "7B int8 12 ms jetson-nano": can that be? A token reads every weight once and multiplies it once,
// so the bus and the arithmetic peak set a time that no engine beats.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/profile.h"

namespace nibble {

struct Claim {
  std::string model, scheme, device;  // as written
  double weights = 0;                 // read by a token; 0 where only bytes are claimed
  double bytes = 0;                   // that a token reads
  double resident = 0;                // that must fit: the embedding too
  double seconds = 0;                 // a token
};

// Words in any order: a size ("7B", "350M", or bytes as "1GB"), a scheme ("int8", "int4", "fp16",
// or one of ours), a latency ("12 ms", "0.5s", or "20 tokens/s") and a device's slug. "model", "at"
// and such are passed over.
Result<Claim> parse_claim(const std::string& text);

struct Verdict {
  bool possible = false;
  double bus_seconds = 0, compute_seconds = 0;  // least time of each; the latter 0 where unknown
  double needed_bandwidth = 0;                  // bytes a second
  double factor = 0;                            // least time by the bus / claimed time
  bool fits = false;                            // in the memory beside the system
};

// Sizes, times and buses are all stated rounded, to two or three figures: a claim that is short of
// its least time by 1 % may be true.
Verdict judge(const Claim& claim, const DeviceProfile& device);
// One line: "impossible: 7B int8 reads 7.02 GB a token, needs 585 GB/s, the bus gives 25.6 ...".
std::string verdict_text(const Claim& claim, const DeviceProfile& device, const Verdict& verdict);

}  // namespace nibble
