#include "export/onnx/form.h"

#include <algorithm>
#include <array>

#include "base/checked.h"

namespace nibble {
namespace {

using Kind = OnnxForm::Kind;

constexpr std::array kBlockWidths = {2, 4, 8};
constexpr std::array kDequantizedWidths = {4, 8};
constexpr std::array kBytes = {8};
// MatMulNBits takes powers of two from 16 on; the blocks that onnxruntime has kernels for.
constexpr int64_t kLeastBlock = 16, kUsualBlock = 128, kMostBlock = 256;

std::string place_of(const Weights& model, const ExportMatrix& m) {
  return model.checkpoint().folder() + ": " + m.module;
}

Result<OnnxForm> blocks(const ExportMatrix& m, const std::string& where) {
  OnnxForm out{.kind = Kind::kBlocks};
  out.layout = NB_TRY(integer_layout(m, kBlockWidths, where));
  int64_t most = out.layout.group > 0 ? kMostBlock : kUsualBlock;
  int64_t columns = out.layout.group > 0 ? out.layout.group : m.k;
  // A group larger than the operator's blocks is several with equal scales.
  out.layout.group = std::min(columns & -columns, most);
  if (out.layout.group < kLeastBlock)
    return fail("{}: its {} columns are no whole blocks of {}, the least of MatMulNBits; take dq",
                where, m.k, kLeastBlock);
  return out;
}

// Eight bits and one scale a row: as they are where the matrix has that, else rounded.
Result<OnnxForm> row_integers(const ExportMatrix& m, Kind kind, const std::string& where) {
  OnnxForm out{.kind = kind, .layout = {.bits = 8, .group = -1, .symmetric = true}};
  out.exact = m.scheme && m.scheme->groups(m.k) == 1;
  if (out.exact) out.layout = NB_TRY(integer_layout(m, kBytes, where));
  return out;
}

Result<OnnxForm> dequantized(const ExportMatrix& m, const std::string& where) {
  if (!m.scheme) return OnnxForm{};
  return OnnxForm{.kind = Kind::kDequantized,
                  .layout = NB_TRY(integer_layout(m, kDequantizedWidths, where))};
}

Result<OnnxForm> static_form(const Weights& model, const ExportMatrix& m,
                             const std::string& where) {
  InputRule rule = NB_TRY(model.input_rule(m.module, Activations::kInt8Static));
  if (rule.mode == Activations::kFloat) return dequantized(m, where);
  OnnxForm out = NB_TRY(row_integers(m, Kind::kStatic, where));
  out.input_scale = rule.scale;
  return out;
}

// Symmetric alone, positive scales; int8 with scales for whole rows, int4 in blocks.
// Source: docs.nvidia.com/deeplearning/tensorrt, "Working with Quantized Types".
Result<OnnxForm> tensorrt_form(const Weights& model, const ExportMatrix& m,
                               const std::string& where) {
  if (!m.scheme) return OnnxForm{};
  if (m.scheme->symmetry != Symmetry::kSymmetric)
    return fail(
        "{}: is {}, and TensorRT takes zero points of 0 and positive scales alone; quantize "
        "with a symmetric scheme",
        where, m.scheme->name());
  bool ranged = m.in_block && model.checkpoint().has(m.module + kInputScale);
  if (ranged) return static_form(model, m, where);
  OnnxForm out =
      NB_TRY(m.scheme->bits > 4 ? row_integers(m, Kind::kDequantized, where) : blocks(m, where));
  out.kind = Kind::kDequantized;
  out.layout.bits = std::max(out.layout.bits, kDequantizedWidths[0]);
  return out;
}

}  // namespace

Result<OnnxForm> onnx_form(const Weights& model, OnnxFlavour flavour, const ExportMatrix& m) {
  std::string where = place_of(model, m);
  switch (flavour) {
    case OnnxFlavour::kF32:
      return OnnxForm{.exact = !m.scheme};
    case OnnxFlavour::kNbits:
    case OnnxFlavour::kNbitsInt8:
      if (!m.scheme) return OnnxForm{};
      return blocks(m, where);
    case OnnxFlavour::kDq:
      return dequantized(m, where);
    case OnnxFlavour::kInt8Dynamic:
      if (!m.scheme && !m.in_block) return OnnxForm{};
      return row_integers(m, Kind::kDynamic, where);
    case OnnxFlavour::kInt8Qdq:
      if (!m.scheme && !m.in_block) return OnnxForm{};
      return static_form(model, m, where);
    case OnnxFlavour::kTensorRt:
      return tensorrt_form(model, m, where);
  }
  return OnnxForm{};
}

Result<OnnxForm> onnx_row_form(const Weights& model, OnnxFlavour flavour, const ExportMatrix& m) {
  // TensorRT has no uint8 inside a graph.
  if (!m.scheme || flavour == OnnxFlavour::kF32 || flavour == OnnxFlavour::kTensorRt)
    return OnnxForm{.exact = !m.scheme};
  return OnnxForm{.kind = Kind::kDequantized,
                  .layout = NB_TRY(integer_layout(m, kBytes, place_of(model, m)))};
}

Result<OnnxRows> OnnxRows::open(const Weights& model, const ExportMatrix& m, const OnnxForm& form) {
  OnnxRows out;
  out.k_ = m.k;
  out.rounded_ = {.bits = form.layout.bits,
                  .symmetry = Symmetry::kSymmetric,
                  .group = std::max<int64_t>(form.layout.group, Scheme::kChannel),
                  .scale_type = form.scale_type};
  if (form.exact) {
    out.exact_.emplace(NB_TRY(model.quantized(m.module, m.n, m.k)), form.layout);
    out.groups_ = out.exact_->groups();
    if (!form.one_scale) out.least_ = form.least_scales;
  } else {
    out.floats_ = NB_TRY(RowReader::open(model, m.module, m.n, m.k));
    out.groups_ = form.layout.groups(m.k);
    out.least_ = form.least_scales;
    if (form.one_scale) out.only_ = out.whole_grid(m.n);
  }
  return out;
}

void OnnxRows::row(int64_t r, uint8_t* codes, float* scales, uint8_t* zeros) const {
  if (!exact_) return rounded_row(r, codes, scales, zeros);
  if (codes) exact_->codes(r, codes);
  if (scales) exact_scales(r, scales);
  if (!zeros) return;
  for (int64_t g = 0; g < groups_; ++g) zeros[g] = static_cast<uint8_t>(exact_->zero(r, g));
}

// A row of zeros means the same with any scale.
void OnnxRows::exact_scales(int64_t r, float* out) const {
  exact_->scales(r, out);
  if (least_.empty() || out[0] >= least_[static_cast<size_t>(r)]) return;
  std::vector<uint8_t> codes(static_cast<size_t>(k_));
  exact_->codes(r, codes.data());
  if (std::ranges::all_of(codes, [&](uint8_t c) { return c == exact_->zero(r, 0); }))
    out[0] = least_[static_cast<size_t>(r)];
}

void OnnxRows::rounded_row(int64_t r, uint8_t* codes, float* scales, uint8_t* zeros) const {
  std::vector<float> values(static_cast<size_t>(k_));
  (*floats_)(r, values.data());
  int64_t size = k_ / groups_;
  for (int64_t g = 0; g < groups_; ++g) {
    auto group =
        std::span(values).subspan(static_cast<size_t>(g * size), static_cast<size_t>(size));
    Grid grid = only_ ? *only_ : fit_minmax(group, rounded_);
    if (!only_ && !least_.empty())
      grid.scale = std::max(grid.scale, least_[static_cast<size_t>(r)]);
    for (int64_t j = 0; codes && j < size; ++j)
      codes[g * size + j] =
          static_cast<uint8_t>(encode(group[static_cast<size_t>(j)], grid, rounded_));
    if (scales) scales[g] = grid.scale;
    if (zeros) zeros[g] = static_cast<uint8_t>(grid.zero);
  }
}

Grid OnnxRows::whole_grid(int64_t n) const {
  std::vector<float> values(static_cast<size_t>(k_));
  float low = 0, high = 0;
  for (int64_t r = 0; r < n; ++r) {
    (*floats_)(r, values.data());
    auto [least, most] = std::ranges::minmax_element(values);
    low = std::min(low, *least);
    high = std::max(high, *most);
  }
  Grid out = grid_from_range(low, high, rounded_);
  for (float s : least_) out.scale = std::max(out.scale, s);
  return out;
}

void OnnxRows::release() const {
  if (exact_) exact_->release();
  if (floats_) floats_->release();
}

}  // namespace nibble
