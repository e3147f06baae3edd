#include "model/gguf/matrices.h"

#include <cstring>

#include "base/panels.h"
#include "tensor/ggml_grids.h"

namespace nibble {
namespace {

constexpr int64_t kGroup = 32;
constexpr int64_t kHalf = 2;  // bytes of a scale

// Blocks as they lie in the file.
class BlockRows : public RowSource {
 public:
  explicit BlockRows(const GgufMatrix& m) : m_(m) {}
  int64_t rows() const override { return m_.n; }
  int64_t cols() const override { return m_.k; }
  int64_t stored_bytes() const override { return static_cast<int64_t>(m_.bytes.size()); }
  int64_t block() const override { return m_.type->block; }
  void decode(int64_t row, float* out) const override {
    m_.type->to_float(m_.row(row), m_.k / m_.type->block, out);
  }

 private:
  GgufMatrix m_;
};

// body(row) for all rows, on all threads.
template <class F>
void each_row(int64_t n, const F& body) {
  each_panel(n, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) body(i);
  });
}

}  // namespace

std::optional<DType> GgufMatrix::float_type() const {
  if (type->name == "F32") return DType::kF32;
  if (type->name == "F16") return DType::kF16;
  if (type->name == "BF16") return DType::kBF16;
  return std::nullopt;
}

std::optional<Scheme> GgufMatrix::scheme() const {
  int bits = type->name == "Q4_0" ? 4 : type->name == "Q5_0" ? 5 : type->name == "Q8_0" ? 8 : 0;
  if (bits == 0) return std::nullopt;
  return Scheme{bits, Symmetry::kFullRange, kGroup, DType::kF16};
}

QuantizedMatrix GgufMatrix::blocks() const {
  TensorView view{DType::kU8, {n, row_bytes()}, bytes, file, file};
  if (!order.plain()) {
    std::vector<std::byte> turned(bytes.size());
    each_row(n, [&](int64_t i) {
      std::memcpy(turned.data() + i * row_bytes(), row(i), static_cast<size_t>(row_bytes()));
    });
    file->release(bytes);
    view = own_bytes(DType::kU8, view.shape, std::move(turned));
  }
  return QuantizedMatrix::of_blocks(Scheme::of_blocks(*type), n, k, std::move(view));
}

Status GgufMatrices::check(const Checkpoint& checkpoint, const std::string& module, int64_t n,
                           int64_t k) const {
  const GgufMatrix& m = all_.at(module);
  if (m.n != n || m.k != k)
    return fail("{}: tensor {} has shape {}, should be {}", checkpoint.folder(),
                in_quotes(module + ".weight"), shape_text(std::array{m.n, m.k}),
                shape_text(std::array{n, k}));
  return {};
}

Result<QuantizedMatrix> GgufMatrices::quantized(const Checkpoint& checkpoint,
                                                const std::string& module, int64_t n,
                                                int64_t k) const {
  NB_OK(check(checkpoint, module, n, k));
  const GgufMatrix& m = all_.at(module);
  if (m.float_type()) return WeightFormat::quantized(checkpoint, module, n, k);
  auto scheme = m.scheme();
  if (!scheme) return m.blocks();
  int64_t groups = k / kGroup, row_bytes = QuantizedMatrix::row_bytes(*scheme, k);
  std::vector<std::byte> codes(static_cast<size_t>(n * row_bytes));
  std::vector<std::byte> scales(static_cast<size_t>(n * groups * kHalf));
  std::vector<uint8_t> sound(static_cast<size_t>(n), 1);
  each_row(n, [&](int64_t i) {
    thread_local std::vector<uint8_t> row;
    row.resize(static_cast<size_t>(k));
    const std::byte* block = m.row(i);
    ggml_codes(*m.type, block, groups, row.data());
    pack_bits(row.data(), k, scheme->bits, codes.data() + i * row_bytes);
    std::byte* scale = scales.data() + i * groups * kHalf;
    for (int64_t g = 0; g < groups; ++g, block += m.type->bytes, scale += kHalf) {
      std::memcpy(scale, block, kHalf);
      if (!f16_is_finite(scale)) sound[static_cast<size_t>(i)] = 0;
    }
  });
  m.file->release(m.bytes);
  for (int64_t i = 0; i < n; ++i)
    if (!sound[static_cast<size_t>(i)])
      return fail("{}: {}.weight has a scale in row {} that is no number", checkpoint.folder(),
                  in_quotes(module), i);
  return QuantizedMatrix(*scheme, n, k,
                         own_bytes(DType::kI32, {n, row_bytes / 4}, std::move(codes)),
                         own_bytes(DType::kF16, {n, groups}, std::move(scales)), {}, 0);
}

std::shared_ptr<const RowSource> GgufMatrices::rows(const Checkpoint&,
                                                    const std::string& module) const {
  const GgufMatrix& m = all_.at(module);
  return m.float_type() ? nullptr : std::make_shared<BlockRows>(m);
}

Result<TensorView> GgufMatrices::floats(const Checkpoint& checkpoint, const std::string& module,
                                        int64_t n, int64_t k) const {
  NB_OK(check(checkpoint, module, n, k));
  const GgufMatrix& m = all_.at(module);
  auto stored = m.float_type();
  int64_t out_row = k * dtype_size(stored.value_or(DType::kF32));
  std::vector<std::byte> bytes(static_cast<size_t>(n * out_row));
  each_row(n, [&](int64_t i) {
    std::byte* out = bytes.data() + i * out_row;
    if (stored)
      std::memcpy(out, m.row(i), static_cast<size_t>(out_row));
    else
      m.type->to_float(m.row(i), k / m.type->block, reinterpret_cast<float*>(out));
  });
  m.file->release(m.bytes);
  return own_bytes(stored.value_or(DType::kF32), {n, k}, std::move(bytes));
}

}  // namespace nibble
