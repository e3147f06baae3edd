// Matrices of ggml's blocks as tensors of a job that has not written its GGUF file yet.
#pragma once

#include <map>

#include "formats/weights/weight_format.h"

namespace nibble {

// MODULE.weight_blocks: U8 (n, row_bytes).
NamedTensor ggml_tensor(const std::string& module, const QuantizedMatrix& w);
// An error where the checkpoint has it in another size.
Result<QuantizedMatrix> read_ggml_tensor(const Checkpoint& checkpoint, const std::string& module,
                                         const Scheme& scheme, int64_t n, int64_t k);

// The form of stored weights of such a checkpoint.
class GgmlTensors : public WeightFormat {
 public:
  explicit GgmlTensors(std::map<std::string, Scheme> schemes) : schemes_(std::move(schemes)) {}

  bool holds(const Checkpoint&, const std::string& module) const override {
    return schemes_.contains(module);
  }
  std::optional<Scheme> scheme_of(const Checkpoint&, const std::string& module) const override {
    return schemes_.at(module);
  }
  Status check(const Checkpoint& checkpoint, const std::string& module, int64_t n,
               int64_t k) const override;
  Result<QuantizedMatrix> quantized(const Checkpoint& checkpoint, const std::string& module,
                                    int64_t n, int64_t k) const override;
  Result<int64_t> stored_bytes(const Checkpoint&, const std::string& module, int64_t n,
                               int64_t k) const override {
    return QuantizedMatrix::stored_bytes(schemes_.at(module), n, k);
  }

 private:
  std::map<std::string, Scheme> schemes_;  // by module
};

}  // namespace nibble
