// The safetensors container, read and written.
// Source: github.com/huggingface/safetensors, safetensors/src/tensor.rs; shared rules in
// docs/FORMATS.md.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/view.h"

namespace nibble {

struct SafetensorsFile {
  std::vector<NamedTensor> tensors;             // by offset; views into the mapping
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

// Maps and validates a file. Refused with one line: header longer than the file or than 100 MB, not
// JSON, duplicate names, unknown dtype, shape and offsets that disagree, holes, overlaps, bytes
// after the last tensor, sizes that overflow.
Result<SafetensorsFile> open_safetensors(const std::string& path);

// A tensor that is made when it is written and forgotten then.
struct PendingTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::function<Result<TensorView>()> load;  // of this dtype and shape

  int64_t bytes() const;
};
PendingTensor pending(NamedTensor tensor);
std::vector<PendingTensor> pending(std::vector<NamedTensor> tensors);

// Writes the tensors (sorted by dtype alignment descending, then by name) under `path`,
// atomically, streaming: mapped views are released after they are copied.
Status write_safetensors(const std::string& path, std::vector<NamedTensor> tensors,
                         const std::map<std::string, std::string>& metadata);
Status write_pending(const std::string& path, std::vector<PendingTensor> tensors,
                     const std::map<std::string, std::string>& metadata);

// Writes model.safetensors into the folder, or, above max_shard_bytes, shards
// model-00001-of-0000N.safetensors and model.safetensors.index.json.
Status write_sharded(const std::string& folder, std::vector<PendingTensor> tensors,
                     int64_t max_shard_bytes);

}  // namespace nibble
