// pytorch_model.bin: a zip file with a pickle that describes tensors and one entry a storage.
// Source: torch/serialization.py (_save, _load), torch/_utils.py (_rebuild_tensor_v2).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/view.h"

namespace nibble {

// The tensors in the order of the pickle: views into the mapping where they are contiguous, copies
// where they are not (said on standard error, with how much). Nothing in the file is run.
Result<std::vector<NamedTensor>> open_pytorch_bin(const std::string& path);

}  // namespace nibble
