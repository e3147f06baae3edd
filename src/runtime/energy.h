// Energy that the machine takes, where it has a meter that this process may read.
#pragma once

#include <memory>
#include <string>

namespace nibble {

class EnergyMeter {
 public:
  // The processor's own counters (RAPL: packages and their memory; mostly for root alone), else the
  // power monitor of a Jetson (INA3221: the board's input, or all its rails). Null: no meter. `sys`
  // is where the system shows its devices.
  static std::unique_ptr<EnergyMeter> find(const std::string& sys = "/sys");
  virtual ~EnergyMeter() = default;

  // What is measured: "RAPL package-0, dram", "INA3221 VDD_IN".
  virtual std::string name() const = 0;
  // Joules since the meter was found, of the whole machine whoever uses it. One thread at a time.
  virtual double joules() = 0;
};

}  // namespace nibble
