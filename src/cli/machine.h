// What this machine calls itself, for the head of a measurement.
#pragma once

#include <string>

namespace nibble {

// The processor's model name, or its architecture where the system does not tell.
std::string cpu_name();

}  // namespace nibble
