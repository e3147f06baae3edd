// Matrices of a GGUF file as a form of stored weights.
#pragma once

#include <unordered_map>

#include "formats/gguf_model.h"
#include "formats/weights/weight_format.h"
#include "model/gguf/row_order.h"

namespace nibble {

// (n, k) in blocks along k; row i of the folder's matrix is the file's row order.source(i).
struct GgufMatrix {
  const GgmlType* type = nullptr;
  std::span<const std::byte> bytes;
  std::shared_ptr<MappedFile> file;
  int64_t n = 0, k = 0;
  RowOrder order;

  int64_t row_bytes() const { return k / type->block * type->bytes; }
  const std::byte* row(int64_t i) const { return bytes.data() + order.source(i) * row_bytes(); }
  // The element type, nothing where it is a block type.
  std::optional<DType> float_type() const;
  // Q4_0, Q5_0 and Q8_0: (code - middle) * scale in groups of 32, which run on integer kernels.
  std::optional<Scheme> scheme() const;
  // Of any block type: its bytes, rows in the folder's order; a view where that is the file's.
  QuantizedMatrix blocks() const;
};

class GgufMatrices : public WeightFormat {
 public:
  void add(const std::string& module, GgufMatrix matrix) {
    all_.emplace(module, std::move(matrix));
  }

  bool holds(const Checkpoint&, const std::string& module) const override {
    return all_.contains(module);
  }
  bool quantizes(const Checkpoint&, const std::string& module) const override {
    return !all_.at(module).float_type();
  }
  std::string type_name(const Checkpoint&, const std::string& module) const override {
    return std::string(all_.at(module).type->name);
  }
  std::optional<Scheme> scheme_of(const Checkpoint&, const std::string& module) const override {
    return all_.at(module).scheme();
  }
  std::optional<Scheme> stored_scheme(const Checkpoint&, const std::string& module) const override {
    const GgufMatrix& m = all_.at(module);
    if (m.scheme() || m.float_type()) return m.scheme();
    return Scheme::of_blocks(*m.type);
  }
  std::string name_of(const Checkpoint&, const std::string& module) const override {
    return std::string(all_.at(module).type->name);
  }
  DType float_type(const Checkpoint&, const std::string& module) const override {
    return all_.at(module).float_type().value_or(DType::kF32);
  }
  Status check(const Checkpoint& checkpoint, const std::string& module, int64_t n,
               int64_t k) const override;
  Result<QuantizedMatrix> quantized(const Checkpoint& checkpoint, const std::string& module,
                                    int64_t n, int64_t k) const override;
  Result<TensorView> floats(const Checkpoint& checkpoint, const std::string& module, int64_t n,
                            int64_t k) const override;
  std::shared_ptr<const RowSource> rows(const Checkpoint& checkpoint,
                                        const std::string& module) const override;
  Result<int64_t> stored_bytes(const Checkpoint&, const std::string& module, int64_t,
                               int64_t) const override {
    return static_cast<int64_t>(all_.at(module).bytes.size());
  }

 private:
  std::unordered_map<std::string, GgufMatrix> all_;
};

}  // namespace nibble
