#include "export/tflite/read_back.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "export/onnx/matrices.h"
#include "export/onnx/read_back.h"
#include "export/tflite/file.h"

namespace nibble {
namespace {

constexpr int kMiddle = 128;  // of a byte: the code of 0

using Tensor = TfliteFile::Tensor;

// Of activations. Signed codes are 128 less.
Result<Grid> grid_of(const Tensor& tensor, const std::string& where) {
  const TfliteTensor& t = tensor.shown;
  bool bytes = t.type == TfliteType::kInt8 || t.type == TfliteType::kUint8;
  Grid out;
  if (!bytes || t.grid.scales.size() != 1 || t.grid.zeros.size() != 1)
    return fail("{}: {} should be integers of 8 bits, with one scale and one zero point", where,
                in_quotes(t.name));
  out.scale = t.grid.scales[0];
  int64_t zero = t.grid.zeros[0] + (t.type == TfliteType::kInt8 ? kMiddle : 0);
  if (!(out.scale > 0 && std::isfinite(out.scale)) || zero < 0 || zero >= 2 * kMiddle)
    return fail("{}: {} has scale {} and zero point {}, should be above 0 and one of its codes",
                where, in_quotes(t.name), out.scale, t.grid.zeros[0]);
  out.zero = static_cast<int>(zero);
  return out;
}

// Between which the fully connected operator of this weight multiplies; none where it takes floats.
Result<std::optional<LinearGrids>> grids_of(const TfliteFile& file, const Tensor& weight) {
  const TfliteFile::Subgraph& graph = file.subgraphs()[0];
  auto index = static_cast<int32_t>(&weight - graph.tensors.data());
  for (const TfliteFile::Operation& op : graph.operations) {
    bool full = op.code == static_cast<int32_t>(TfliteOp::kFullyConnected);
    if (!full || op.inputs.size() < 2 || op.inputs[1] != index) continue;
    if (op.inputs[0] < 0 || op.outputs.empty()) break;
    const Tensor& x = graph.tensors[static_cast<size_t>(op.inputs[0])];
    const Tensor& y = graph.tensors[static_cast<size_t>(op.outputs[0])];
    if (x.shown.type == TfliteType::kFloat32) break;
    return LinearGrids{NB_TRY(grid_of(x, file.path())), NB_TRY(grid_of(y, file.path()))};
  }
  return std::nullopt;
}

// Symmetric integers (n, k) of a fully connected operator.
class IntegerMatrix : public ExportedMatrix {
 public:
  static Result<std::unique_ptr<ExportedMatrix>> open(const TfliteFile& file,
                                                      const ExportMatrix& m) {
    auto out = std::make_unique<IntegerMatrix>(file, m);
    out->codes_ = NB_TRY(file.constant(m.module + onnx_names::kCodes));
    const TfliteTensor& t = out->codes_->shown;
    bool bytes = t.type == TfliteType::kInt8 || t.type == TfliteType::kUint8;
    bool fits = (bytes || t.type == TfliteType::kInt4) && t.dims == std::vector{m.n, m.k};
    if (t.grid.block > 0) {
      const auto& tensors = file.subgraphs()[0].tensors;
      const Tensor& scales = tensors[static_cast<size_t>(t.grid.block_scales)];
      out->group_ = t.grid.block;
      fits &= m.k % out->group_ == 0 && scales.shown.type == TfliteType::kFloat16 &&
              scales.bytes.size() == static_cast<size_t>(2 * m.n * (m.k / out->group_));
      if (fits) {
        out->scales_.resize(scales.bytes.size() / 2);
        to_float(DType::kF16, scales.bytes.data(), static_cast<int64_t>(out->scales_.size()),
                 out->scales_.data());
      }
    } else {
      int64_t middle = t.type == TfliteType::kUint8 ? kMiddle : 0;
      out->scales_ = t.grid.scales;
      if (out->scales_.size() == 1) out->scales_.resize(static_cast<size_t>(m.n), t.grid.scales[0]);
      fits &= static_cast<int64_t>(out->scales_.size()) == m.n &&
              std::ranges::all_of(t.grid.zeros, [=](int64_t z) { return z == middle; });
    }
    if (!fits) return fail("{}: has other shapes, types or scales than the model", m.module);
    out->grids_ = NB_TRY(grids_of(file, *out->codes_));
    return out;
  }

  IntegerMatrix(const TfliteFile& file, const ExportMatrix& m)
      : file_(file), k_(m.k), group_(m.k) {}

  int64_t bytes() const override {
    int64_t size = group_ < k_ ? 2 : 4;
    return static_cast<int64_t>(codes_->bytes.size()) + size * static_cast<int64_t>(scales_.size());
  }
  bool equals(const RowReader&) const override { return false; }
  bool rounds_inputs() const override { return true; }
  std::optional<LinearGrids> grids() const override { return grids_; }
  void release() const override { file_.release(*codes_); }

  std::optional<Scheme> scheme() const override {
    return Scheme{.bits = four_bits() ? 4 : 8,
                  .symmetry = Symmetry::kSymmetric,
                  .group = group_ < k_ ? group_ : Scheme::kChannel,
                  .scale_type = DType::kF32};
  }

  void rows(int64_t first, int64_t count, float* out) const override {
    int64_t groups = k_ / group_, at = first * k_;
    int middle = scheme()->symmetric_zero();
    for (int64_t g = first * groups; g < (first + count) * groups; ++g) {
      float scale = scales_[static_cast<size_t>(g)];
      for (int64_t end = at + group_; at < end; ++at)
        *out++ = static_cast<float>(code(at) - middle) * scale;
    }
  }

  void integers(int64_t first, int64_t count, uint8_t* codes, Grid* grids) const override {
    int64_t groups = k_ / group_;
    int middle = scheme()->symmetric_zero();
    for (int64_t at = first * k_; at < (first + count) * k_; ++at)
      *codes++ = static_cast<uint8_t>(code(at));
    for (int64_t g = first * groups; g < (first + count) * groups; ++g, ++grids) {
      grids->scale = scales_[static_cast<size_t>(g)];
      grids->zero = middle;
    }
  }

 private:
  bool four_bits() const { return codes_->shown.type == TfliteType::kInt4; }
  // Unsigned.
  int code(int64_t at) const {
    auto byte = [&](int64_t i) {
      return std::to_integer<int>(codes_->bytes[static_cast<size_t>(i)]);
    };
    if (four_bits()) return (byte(at / 2) >> (at % 2 * 4) & 15) ^ 8;
    return byte(at) ^ (codes_->shown.type == TfliteType::kUint8 ? 0 : kMiddle);
  }

  const TfliteFile& file_;
  const Tensor* codes_ = nullptr;
  std::optional<LinearGrids> grids_;
  std::vector<float> scales_;  // (n, groups)
  int64_t k_, group_;
};

class TfliteWeights : public ExportedWeights {
 public:
  TfliteWeights(const Weights& model, TfliteFlavour flavour, TfliteFile file)
      : model_(model),
        flavour_(flavour),
        file_(std::move(file)),
        rows_(onnx_weights(model, row_flavour(flavour), file_.weights())) {}

  using Matrix = Result<std::unique_ptr<ExportedMatrix>>;
  Matrix linear(const ExportMatrix& m) const override {
    bool floats = NB_TRY(tflite_form(model_, flavour_, m)).kind == OnnxForm::Kind::kFloats;
    return floats ? rows_->floats(m) : IntegerMatrix::open(file_, m);
  }
  Matrix head(const ExportMatrix& m, bool tied) const override {
    bool floats = NB_TRY(tflite_form(model_, flavour_, m)).kind == OnnxForm::Kind::kFloats;
    if (tied && floats) return nullptr;
    return linear(m);
  }
  Matrix embedding(const ExportMatrix& m) const override { return rows_->embedding(m); }
  Matrix floats(const ExportMatrix& m) const override { return rows_->floats(m); }
  Result<std::vector<float>> vector(const std::string& name) const override {
    const Tensor& t = *NB_TRY(file_.constant(name));
    return t.shown.type == TfliteType::kInt32 ? integers(t) : rows_->vector(name);
  }
  int64_t weight_bytes() const override { return rows_->weight_bytes(); }

 private:
  // A bias of integers: code x scale.
  static Result<std::vector<float>> integers(const Tensor& t) {
    const std::vector<float>& scales = t.shown.grid.scales;
    std::vector<int32_t> codes(t.bytes.size() / sizeof(int32_t));
    std::memcpy(codes.data(), t.bytes.data(), t.bytes.size());
    if (scales.size() != 1 && scales.size() != codes.size())
      return fail("{}: has other scales than the model", t.shown.name);
    std::vector<float> out;
    for (size_t i = 0; i < codes.size(); ++i)
      out.push_back(static_cast<float>(codes[i] * double{scales[scales.size() > 1 ? i : 0]}));
    return out;
  }

  const Weights& model_;
  TfliteFlavour flavour_;
  TfliteFile file_;
  std::unique_ptr<ExportedWeights> rows_;  // all but the integers of linears
};

}  // namespace

Result<std::unique_ptr<ExportedWeights>> open_tflite_weights(const Weights& model,
                                                             TfliteFlavour flavour,
                                                             const std::string& path) {
  return std::make_unique<TfliteWeights>(model, flavour, NB_TRY(TfliteFile::open(path)));
}

}  // namespace nibble
