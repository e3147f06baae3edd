// compressed-tensors as a form of stored weights; its layout is in formats/compressed_tensors.h.
#include "formats/compressed_tensors.h"

#include "formats/sparse_bitmap.h"
#include "formats/weights/weight_format.h"

namespace nibble {
namespace {

class CompressedTensors : public WeightFormat {
 public:
  explicit CompressedTensors(CompressedTensorsConfig config) : config_(std::move(config)) {}

  bool holds(const Checkpoint& c, const std::string& module) const override {
    return (c.has(module + ".weight_packed") || c.has(module + ".weight_scale")) &&
           config_.scheme_of(module).has_value();
  }
  std::optional<Scheme> scheme_of(const Checkpoint&, const std::string& module) const override {
    return config_.scheme_of(module);
  }
  Status check(const Checkpoint& c, const std::string& module, int64_t n,
               int64_t k) const override {
    NB_TRY(quantized(c, module, n, k));
    return {};
  }
  Result<QuantizedMatrix> quantized(const Checkpoint& c, const std::string& module, int64_t n,
                                    int64_t k) const override {
    auto scheme = config_.scheme_of(module);
    if (!scheme) return fail("{}: {} is not quantized", c.folder(), module);
    return from_compressed_tensors(c, module, *scheme, n, k);
  }
  Result<int64_t> stored_bytes(const Checkpoint& c, const std::string& module, int64_t n,
                               int64_t k) const override {
    QuantizedMatrix q = NB_TRY(quantized(c, module, n, k));
    auto map = c.get(module + kBitmapPart);
    if (!map) return q.stored_bytes();
    TensorView kept = NB_TRY(c.get(module + kKeptPart));
    int64_t codes = n * (q.scheme().bits == 8 ? k : QuantizedMatrix::row_bytes(q.scheme(), k));
    return q.stored_bytes() - codes + static_cast<int64_t>(map->bytes.size() + kept.bytes.size());
  }

 private:
  CompressedTensorsConfig config_;
};

}  // namespace

Result<std::unique_ptr<WeightFormat>> make_compressed_tensors(const Json& q,
                                                              const std::string& what) {
  return std::make_unique<CompressedTensors>(NB_TRY(CompressedTensorsConfig::parse(q, what)));
}

}  // namespace nibble
