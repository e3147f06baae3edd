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

// What the kernels of one scheme reach there, measured: multiply-accumulates a second of products
// with one row, which read weights too large for a cache, and with many.
struct KernelRate {
  double decode = 0, prefill = 0;
};

// What a decoder does beside its matrix products, measured.
struct BlockRates {
  double decode_seconds = 0;  // a block and token: norms, rotation, attention to few tokens
  double values = 0;     // a second, of hidden states that norms and rotation of many rows take
  double attention = 0;  // multiply-accumulates a second with many rows
};

struct DeviceProfile {
  std::string slug, name;
  std::string kind;                     // cpu, gpu, npu, tpu, vpu
  double memory = 0, usable = 0;        // bytes; the latter beside the system
  double watts = 0;                     // 0: unknown
  double bandwidth = 0;                 // bytes a second that weights can be read at, at most
  double measured = 0;                  // bytes a second that were seen there; 0: unknown
  double expected_share = 0;            // of the bandwidth that good engines reach; 0: as measured
  std::map<std::string, double> peaks;  // operations a second by type: fp32, fp16, int8
  std::vector<std::string> schemes, formats;
  std::vector<PowerMode> modes;
  std::map<std::string, KernelRate> kernels;   // by scheme, "bf16" for floats; empty: not measured
  BlockRates block;                            // zeros: not measured
  std::map<std::string, std::string> sources;  // which figures -> where they are from

  // The most operations a second of any type; 0 where none is known.
  double best_peak() const;
  // Bytes a second to reckon with: as measured, else the share of the bandwidth.
  double expected_bandwidth() const { return measured > 0 ? measured : bandwidth * expected_share; }
  // The device in one of its modes: its watts and bus, of which the same share is expected.
  DeviceProfile in(const PowerMode& mode) const;
};

// One file of devices/; the slug is its name. Every figure is checked to be above zero and sane.
Result<DeviceProfile> read_device(const std::string& path);
// All *.yaml of a folder, by slug.
Result<std::vector<DeviceProfile>> read_devices(const std::string& folder);
// The file's text, as read_device takes it.
std::string device_yaml(const DeviceProfile& profile);

}  // namespace nibble
