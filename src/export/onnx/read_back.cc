#include "export/onnx/read_back.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/panels.h"
#include "export/onnx/matrices.h"

namespace nibble {
namespace {

using namespace onnx_names;

// A matrix (n, k) in the file.
class StoredMatrix : public ExportedMatrix {
 public:
  static Result<std::unique_ptr<ExportedMatrix>> open(const OnnxFile& file, const ExportMatrix& m,
                                                      const OnnxForm& form, bool in_rows,
                                                      bool rounds_inputs = false) {
    StoredMatrix out(file, m, form, rounds_inputs);
    bool floats = form.kind == OnnxForm::Kind::kFloats;
    out.in_rows_ = in_rows || form.kind == OnnxForm::Kind::kBlocks;
    const char* codes = floats ? kFloats : in_rows ? kRowCodes : kCodes;
    out.codes_ = NB_TRY(file.get(m.module + codes));
    if (!floats) NB_OK(out.read_grid(m, in_rows));
    if (!out.sizes_fit())
      return fail("{}: its weights have other shapes or types than the model's", m.module);
    return std::make_unique<StoredMatrix>(std::move(out));
  }

  int64_t bytes() const override {
    return static_cast<int64_t>(codes_.bytes.size() + scales_.bytes.size() + zeros_.bytes.size());
  }
  void release() const override { file_.release(codes_); }

  bool rounds_inputs() const override { return rounds_inputs_; }

  std::optional<Scheme> scheme() const override {
    if (form_.kind == OnnxForm::Kind::kFloats) return std::nullopt;
    return Scheme{.bits = form_.layout.bits,
                  .symmetry = zeros_.bytes.empty() ? Symmetry::kSymmetric : Symmetry::kAsymmetric,
                  .group = form_.layout.group > 0 ? form_.layout.group : Scheme::kChannel,
                  .scale_type = DType::kF32};
  }

  void integers(int64_t first, int64_t count, uint8_t* codes, Grid* grids) const override {
    int64_t groups = form_.layout.groups(k_);
    int middle = is_signed() ? 1 << (form_.layout.bits - 1) : 0;
    for (int16_t code : stored_codes(first, count)) *codes++ = static_cast<uint8_t>(code + middle);
    for (int64_t r = first; r < first + count; ++r)
      for (int64_t g = 0; g < groups; ++g, ++grids) {
        grids->scale = real(scales_, scale_at(r, g, groups));
        grids->zero = zero(r, g, groups) + middle;
      }
  }

  bool equals(const RowReader& source) const override {
    if (const TensorView* floats = source.floats())
      return form_.kind == OnnxForm::Kind::kFloats && in_rows_ &&
             dtype_of(codes_.type) == floats->dtype && equal_bytes(codes_.bytes, floats->bytes);
    const QuantizedMatrix& w = *source.quantized();
    if (!in_blocks() || w.scheme().bits != form_.layout.bits) return false;
    std::atomic<bool> equal = true;
    each_panel(n_, [&](int64_t first, int64_t count) {
      for (int64_t r = first; equal && r < first + count; ++r)
        if (!equal_row(w, r)) equal = false;
    });
    return equal;
  }

  void rows(int64_t first, int64_t count, float* out) const override {
    if (form_.kind == OnnxForm::Kind::kFloats) return floats(first, count, out);
    std::vector<int16_t> codes = stored_codes(first, count);
    int64_t groups = form_.layout.groups(k_), group = k_ / groups;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t g = 0; g < groups; ++g) {
        float scale = real(scales_, scale_at(first + r, g, groups));
        int zero_point = zero(first + r, g, groups);
        for (int64_t j = r * k_ + g * group; j < r * k_ + (g + 1) * group; ++j)
          out[j] = static_cast<float>(codes[static_cast<size_t>(j)] - zero_point) * scale;
      }
  }

 private:
  StoredMatrix(const OnnxFile& file, const ExportMatrix& m, const OnnxForm& form,
               bool rounds_inputs)
      : file_(file), form_(form), n_(m.n), k_(m.k), rounds_inputs_(rounds_inputs) {}

  Status read_grid(const ExportMatrix& m, bool in_rows) {
    scales_ = NB_TRY(file_.get(m.module + (in_rows ? kRowScales : kScales)));
    if (std::string zeros = m.module + (in_rows ? kRowZeros : kZeros); file_.has(zeros))
      zeros_ = NB_TRY(file_.get(zeros));
    return {};
  }

  // Whether all that is read below lies within the tensors' bytes.
  bool sizes_fit() const {
    auto has = [](const OnnxTensor& t, int64_t bytes) {
      return static_cast<int64_t>(t.bytes.size()) == bytes;
    };
    if (form_.kind == OnnxForm::Kind::kFloats)
      return is_float(codes_.type) && has(codes_, onnx_bytes(codes_.type, n_ * k_));
    int64_t grids = n_ * form_.layout.groups(k_);
    bool scales = scales_.type == OnnxType::kFloat && has(scales_, 4 * grids);
    if (in_blocks()) {
      int64_t zeros = ceil_div(form_.layout.groups(k_) * form_.layout.bits, 8);
      return scales && has(codes_, n_ * k_ * form_.layout.bits / 8) &&
             (zeros_.bytes.empty() ||
              (zeros_.dims.size() == 2 && zeros_.dims[1] == zeros && has(zeros_, n_ * zeros)));
    }
    auto integers = [&](const OnnxTensor& t, int64_t count) {
      bool nibbles = t.type == OnnxType::kInt4 || t.type == OnnxType::kUint4;
      bool octets = t.type == OnnxType::kInt8 || t.type == OnnxType::kUint8;
      return (octets || (nibbles && !in_rows_)) && has(t, onnx_bytes(t.type, count));
    };
    return scales && integers(codes_, n_ * k_) && (zeros_.bytes.empty() || integers(zeros_, grids));
  }

  bool equal_row(const QuantizedMatrix& w, int64_t r) const {
    int64_t size = k_ * form_.layout.bits / 8, groups = form_.layout.groups(k_);
    const std::byte* mine = codes_.bytes.data() + r * size;
    if (w.code_flip()) {
      const std::byte* theirs = w.code_view().bytes.data() + r * k_;
      for (int64_t j = 0; j < k_; ++j)
        if ((theirs[j] ^ std::byte{w.code_flip()}) != mine[j]) return false;
    } else {
      int64_t stride = QuantizedMatrix::row_bytes(w.scheme(), k_);
      const std::byte* theirs = w.code_view().bytes.data() + r * stride;
      if (std::memcmp(theirs, mine, static_cast<size_t>(size)) != 0) return false;
    }
    thread_local std::vector<Grid> grids;
    thread_local std::vector<float> scales;
    grids.resize(static_cast<size_t>(w.groups()));
    scales.resize(static_cast<size_t>(groups));
    w.grids(r, grids);
    reals(scales_, r * groups, scales);
    for (int64_t g = 0; g < groups; ++g) {
      const Grid& grid =
          grids[static_cast<size_t>(w.groups() > 1 ? g * form_.layout.group / w.group_size() : 0)];
      if (scales[static_cast<size_t>(g)] != grid.scale || zero(r, g, groups) != grid.zero)
        return false;
    }
    return true;
  }

  static bool is_float(OnnxType type) {
    return type == OnnxType::kFloat || type == OnnxType::kFloat16 || type == OnnxType::kBfloat16;
  }
  static DType dtype_of(OnnxType type) {
    return type == OnnxType::kFloat16    ? DType::kF16
           : type == OnnxType::kBfloat16 ? DType::kBF16
                                         : DType::kF32;
  }
  // out.size() of them from the i-th on.
  static void reals(const OnnxTensor& t, int64_t i, std::span<float> out) {
    DType type = dtype_of(t.type);
    to_float(type, t.bytes.data() + i * dtype_size(type), std::ssize(out), out.data());
  }
  static float real(const OnnxTensor& t, int64_t i) {
    float out;
    reals(t, i, {&out, 1});
    return out;
  }
  // `width` bits at the i-th place, the low bits of a byte first.
  static int bits_at(const OnnxTensor& t, int64_t i, int width) {
    auto byte = std::to_integer<int>(t.bytes[static_cast<size_t>(i * width / 8)]);
    return byte >> (i * width % 8) & ((1 << width) - 1);
  }
  static int integer(const OnnxTensor& t, int64_t i) {
    switch (t.type) {
      case OnnxType::kInt4:
        return (bits_at(t, i, 4) ^ 8) - 8;
      case OnnxType::kUint4:
        return bits_at(t, i, 4);
      case OnnxType::kInt8:
        return (bits_at(t, i, 8) ^ 128) - 128;
      default:
        return bits_at(t, i, 8);
    }
  }
  void floats(int64_t first, int64_t count, float* out) const {
    if (in_rows_) {
      DType type = dtype_of(codes_.type);
      to_float(type, codes_.bytes.data() + first * k_ * dtype_size(type), count * k_, out);
      return;
    }
    for (int64_t j = 0; j < k_; ++j)
      for (int64_t r = 0; r < count; ++r) out[r * k_ + j] = real(codes_, j * n_ + first + r);
  }
  int64_t scale_at(int64_t row, int64_t g, int64_t groups) const {
    return in_rows_ ? row * groups + g : g * n_ + row;
  }
  bool is_signed() const {
    return codes_.type == OnnxType::kInt4 || codes_.type == OnnxType::kInt8;
  }
  // As they are stored: signed or not. (count, k).
  std::vector<int16_t> stored_codes(int64_t first, int64_t count) const {
    std::vector<int16_t> out(static_cast<size_t>(count * k_));
    if (in_rows_)
      row_codes(first, count, out.data());
    else
      turned_codes(first, count, out.data());
    return out;
  }
  void row_codes(int64_t first, int64_t count, int16_t* out) const {
    int width = in_blocks() ? form_.layout.bits : 8;
    std::vector<uint8_t> codes(static_cast<size_t>(k_));
    for (int64_t r = 0; r < count; ++r) {
      unpack_bits(codes_.bytes.data() + (first + r) * k_ * width / 8, k_, width, codes.data());
      std::ranges::copy(codes, out + r * k_);
    }
  }
  void turned_codes(int64_t first, int64_t count, int16_t* out) const {
    for (int64_t j = 0; j < k_; ++j)
      for (int64_t r = 0; r < count; ++r)
        out[r * k_ + j] = static_cast<int16_t>(integer(codes_, j * n_ + first + r));
  }
  bool in_blocks() const { return form_.kind == OnnxForm::Kind::kBlocks; }
  int zero(int64_t row, int64_t g, int64_t groups) const {
    int width = form_.layout.bits;
    if (zeros_.bytes.empty()) return is_signed() ? 0 : 1 << (width - 1);
    if (!in_blocks()) return integer(zeros_, in_rows_ ? row * groups + g : g * n_ + row);
    // Each row of them begins at a byte.
    return bits_at(zeros_, row * zeros_.dims.back() * 8 / width + g, width);
  }

  const OnnxFile& file_;
  OnnxForm form_;
  int64_t n_, k_;
  bool rounds_inputs_, in_rows_ = false;
  OnnxTensor codes_, scales_, zeros_;
};

class OnnxWeights : public ExportedWeights {
 public:
  OnnxWeights(const Weights& model, OnnxFlavour flavour, OnnxFile file)
      : model_(model), flavour_(flavour), file_(std::move(file)) {}

  using Matrix = Result<std::unique_ptr<ExportedMatrix>>;
  Matrix linear(const ExportMatrix& m) const override {
    OnnxForm form = NB_TRY(onnx_form(model_, flavour_, m));
    return StoredMatrix::open(file_, m, form, false, rounds_inputs(form));
  }
  Matrix head(const ExportMatrix& m, bool tied) const override {
    OnnxForm form = NB_TRY(onnx_form(model_, flavour_, m));
    bool floats = form.kind == OnnxForm::Kind::kFloats;
    if (tied && floats) return nullptr;
    return StoredMatrix::open(file_, m, form, floats, rounds_inputs(form));
  }
  Matrix embedding(const ExportMatrix& m) const override {
    return StoredMatrix::open(file_, m, NB_TRY(onnx_row_form(model_, flavour_, m)), true);
  }
  Matrix floats(const ExportMatrix& m) const override {
    return StoredMatrix::open(file_, m, OnnxForm{}, true);
  }
  Result<std::vector<float>> vector(const std::string& name) const override {
    return NB_TRY(file_.get(name)).floats();
  }
  int64_t weight_bytes() const override { return file_.weight_bytes(); }

 private:
  bool rounds_inputs(const OnnxForm& form) const {
    return form.kind == OnnxForm::Kind::kDynamic || form.kind == OnnxForm::Kind::kStatic ||
           (form.kind == OnnxForm::Kind::kBlocks && flavour_ == OnnxFlavour::kNbitsInt8);
  }

  const Weights& model_;
  OnnxFlavour flavour_;
  OnnxFile file_;
};

}  // namespace

std::unique_ptr<ExportedWeights> onnx_weights(const Weights& model, OnnxFlavour flavour,
                                              OnnxFile file) {
  return std::make_unique<OnnxWeights>(model, flavour, std::move(file));
}

}  // namespace nibble
