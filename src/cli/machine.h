// This machine: what it calls itself, and what it can do.
#pragma once

#include <string>

#include "device/profile.h"

namespace nibble {

// The processor's model name, or its architecture where the system does not tell.
std::string cpu_name();

// Its profile, measured now: bandwidth, arithmetic, and the kernels of every rated scheme. Takes
// seconds.
Result<DeviceProfile> measure_machine();

// "this": measure_machine; the path of a profile; or the name of one of devices/.
Result<DeviceProfile> find_device(const std::string& name);

}  // namespace nibble
