// compressed-tensors as a form of stored weights. Integers are read by
// formats/compressed_tensors.h; here are floats (float-quantized: weight FP8; nvfp4 and
// mxfp4-pack-quantized: weight_packed U8 of pairs of e2m1, with weight_global_scale where scales
// are FP8) and reordered columns.
#include "formats/compressed_tensors.h"

#include "formats/sparse_bitmap.h"
#include "formats/weights/block_floats.h"
#include "formats/weights/parts.h"
#include "formats/weights/weight_format.h"

namespace nibble {
namespace {

constexpr const char* kOrder = ".weight_g_idx";

class CompressedTensors : public WeightFormat {
 public:
  explicit CompressedTensors(CompressedTensorsConfig config) : config_(std::move(config)) {}

  bool holds(const Checkpoint& c, const std::string& module) const override {
    return (c.has(module + ".weight_packed") || c.has(module + ".weight_scale")) &&
           config_.weights_of(module);
  }
  std::optional<Scheme> scheme_of(const Checkpoint& c, const std::string& module) const override {
    // Whether an order that the file has is the plain one, only the matrix's shape would tell.
    if (c.has(module + kOrder)) return std::nullopt;
    return config_.scheme_of(module);
  }
  bool keeps_float_inputs(const Checkpoint&, const std::string& module) const override {
    return config_.keeps_float_inputs(module);
  }
  std::string name_of(const Checkpoint& c, const std::string& module) const override {
    const CompressedWeights& w = *config_.weights_of(module);
    if (w.scheme) return w.scheme->name() + (c.has(module + kOrder) ? " act-order" : "");
    if (w.bits == 8) return w.block_columns == 32 ? "mxfp8" : "fp8";
    return w.block_columns == 16 ? "nvfp4" : "mxfp4";
  }
  Status check(const Checkpoint& c, const std::string& module, int64_t n,
               int64_t k) const override {
    const CompressedWeights& w = *config_.weights_of(module);
    if (!w.scheme) return check_block_floats(c, module, block_floats(w), n, k);
    NB_OK(order(c, module, NB_TRY(integers(c, module, n, k)), w));
    return {};
  }
  Result<QuantizedMatrix> quantized(const Checkpoint& c, const std::string& module, int64_t n,
                                    int64_t k) const override {
    if (!scheme_of(c, module)) return WeightFormat::quantized(c, module, n, k);
    return integers(c, module, n, k);
  }
  Result<TensorView> floats(const Checkpoint& c, const std::string& module, int64_t n,
                            int64_t k) const override {
    const CompressedWeights& w = *config_.weights_of(module);
    if (!w.scheme) return read_block_floats(c, module, block_floats(w), n, k);
    if (!c.has(module + kOrder)) return WeightFormat::floats(c, module, n, k);
    QuantizedMatrix q = NB_TRY(integers(c, module, n, k));
    return regrouped_floats(q, NB_TRY(order(c, module, q, w)));
  }
  Result<int64_t> stored_bytes(const Checkpoint& c, const std::string& module, int64_t n,
                               int64_t k) const override {
    const CompressedWeights& w = *config_.weights_of(module);
    if (!w.scheme) return block_floats_bytes(c, module, block_floats(w));
    QuantizedMatrix q = NB_TRY(integers(c, module, n, k));
    auto map = c.get(module + kBitmapPart);
    if (!map) return q.stored_bytes() + bytes_of_parts(c, module, {kOrder});
    TensorView kept = NB_TRY(c.get(module + kKeptPart));
    int64_t codes = n * (q.scheme().bits == 8 ? k : QuantizedMatrix::row_bytes(q.scheme(), k));
    return q.stored_bytes() - codes + static_cast<int64_t>(map->bytes.size() + kept.bytes.size());
  }

 private:
  Result<QuantizedMatrix> integers(const Checkpoint& c, const std::string& module, int64_t n,
                                   int64_t k) const {
    auto scheme = config_.scheme_of(module);
    if (!scheme) return fail("{}: is not quantized", place_of(c, module));
    return from_compressed_tensors(c, module, *scheme, n, k);
  }
  // The group of each column: nothing where there is no order, i / group_size where it is plain.
  static Result<std::vector<int32_t>> order(const Checkpoint& c, const std::string& module,
                                            const QuantizedMatrix& q, const CompressedWeights& w) {
    if (!c.has(module + kOrder)) {
      if (w.reordered && w.scheme->group > 0)
        return fail("{}: lacks weight_g_idx, which says the order of its columns",
                    place_of(c, module));
      return std::vector<int32_t>{};
    }
    auto groups = NB_TRY(column_groups(c, module, kOrder, q.cols(), q.groups(), q.group_size()));
    for (int64_t j = 0; groups.size() < static_cast<size_t>(q.cols()); ++j)
      groups.push_back(static_cast<int32_t>(j / q.group_size()));
    return groups;
  }
  static BlockFloats block_floats(const CompressedWeights& w) {
    BlockFloats form;
    form.rows = w.block_rows;
    form.columns = w.block_columns;
    form.exponents = true;
    if (w.bits == 8) return form;
    form.codes = ".weight_packed";
    if (w.block_columns == 16) form.global = ".weight_global_scale";
    form.divide = true;
    return form;
  }
  CompressedTensorsConfig config_;
};

}  // namespace

Result<std::unique_ptr<WeightFormat>> make_compressed_tensors(const Json& q,
                                                              const std::string& what) {
  return std::make_unique<CompressedTensors>(NB_TRY(CompressedTensorsConfig::parse(q, what)));
}

}  // namespace nibble
