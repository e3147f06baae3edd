// A device as data: what it holds, how fast it reads and multiplies, what runs there.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

struct PowerMode {
  std::string name;
  double watts = 0, bandwidth = 0;
};

struct DeviceProfile {
  std::string slug, name;
  std::string kind;                     // cpu, gpu, npu, tpu, vpu
  double memory = 0, usable = 0;        // bytes; the latter beside the system
  double watts = 0;                     // 0: unknown
  double bandwidth = 0;                 // bytes a second that weights can be read at, at most
  double expected_share = 0;            // of it that good engines reach
  std::map<std::string, double> peaks;  // operations a second by type: fp32, fp16, int8
  std::vector<std::string> schemes, formats;
  std::vector<PowerMode> modes;
  std::map<std::string, std::string> sources;  // which figures -> where they are from

  // The most operations a second of any type; 0 where none is known.
  double best_peak() const;
};

// One file of devices/; the slug is its name. Every figure is checked to be above zero and sane.
Result<DeviceProfile> read_device(const std::string& path);
// All *.yaml of a folder, by slug.
Result<std::vector<DeviceProfile>> read_devices(const std::string& folder);
// The file's text, as read_device takes it.
std::string device_yaml(const DeviceProfile& profile);

}  // namespace nibble
