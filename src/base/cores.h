// The cores that this process may run on.
#pragma once

#include <string>
#include <vector>

namespace nibble {

// Their numbers, as the process was started (pinning a thread changes nothing). Never empty.
const std::vector<int>& usable_cores();

// Threads that can run at once: as many as usable_cores(), or fewer where a control group that the
// process is in (a container's, `docker run --cpus`) gives it less CPU time than that. More would
// all be stopped together when the time is used up. `proc` and `sys` are where the system shows it.
int worthwhile_threads(const std::string& proc = "/proc", const std::string& sys = "/sys");

// `cores` in the order in which threads should take them: first one hardware thread of each
// physical core, the fast ones before the slow; then the second ones. `sys` is where the system
// shows its devices; what it does not tell counts as equal.
std::vector<int> best_first(std::vector<int> cores, const std::string& sys = "/sys");

// Keeps the calling thread on these cores alone; threads that it starts inherit that. False where
// the system refuses.
bool stay_on(const std::vector<int>& cores);

}  // namespace nibble
