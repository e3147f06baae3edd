// The pickle of a torch checkpoint, read without running anything: what it may name is a list of a
// dozen harmless things, and all else is refused by name.
// Source: CPython's Lib/pickletools.py (opcodes); torch/_utils.py and torch/serialization.py.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace nibble {

// A tensor as the pickle describes it; nothing is checked against its storage yet.
struct PickledTensor {
  std::string name;
  std::string storage;  // the entry's name below data/
  DType dtype = DType::kF32;
  int64_t storage_bytes = 0;            // what the pickle says of the storage
  int64_t offset = 0;                   // of the first element, in elements
  std::vector<int64_t> shape, strides;  // in elements
};

// The tensors of the dict that the pickle holds, in its order; other members are left out. `what`
// names the file in errors. Work and memory are bounded by the pickle's length.
Result<std::vector<PickledTensor>> read_pickled_tensors(std::string_view code,
                                                        const std::string& what);

}  // namespace nibble
