#include "formats/ggml_tensors.h"

#include <array>

namespace nibble {
namespace {

constexpr const char* kBlocks = ".weight_blocks";

}  // namespace

NamedTensor ggml_tensor(const std::string& module, const QuantizedMatrix& w) {
  return {module + kBlocks, w.code_view()};
}

Result<QuantizedMatrix> read_ggml_tensor(const Checkpoint& checkpoint, const std::string& module,
                                         const Scheme& scheme, int64_t n, int64_t k) {
  std::array shape = {n, QuantizedMatrix::row_bytes(scheme, k)};
  TensorView blocks = NB_TRY(checkpoint.get(module + kBlocks, shape));
  if (blocks.dtype != DType::kU8)
    return fail("{}: tensor {} is {}, should be U8", checkpoint.folder(), module + kBlocks,
                dtype_name(blocks.dtype));
  return QuantizedMatrix::of_blocks(scheme, n, k, std::move(blocks));
}

Status GgmlTensors::check(const Checkpoint& checkpoint, const std::string& module, int64_t n,
                          int64_t k) const {
  NB_OK(quantized(checkpoint, module, n, k));
  return {};
}

Result<QuantizedMatrix> GgmlTensors::quantized(const Checkpoint& checkpoint,
                                               const std::string& module, int64_t n,
                                               int64_t k) const {
  return read_ggml_tensor(checkpoint, module, schemes_.at(module), n, k);
}

}  // namespace nibble
