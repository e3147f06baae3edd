// What GPTQ and AWQ files have in common: a linear's codes at a width that the format knows,
// float16 scales and zero points for each group, and words of int32 laid out input by input.
// Source: ModelCloud/GPTQModel 7.7, gptqmodel/nn_modules/qlinear/{__init__,gemm_awq}.py.
#pragma once

#include "export/hf_folder.h"

namespace nibble {

// How one linear is stored.
struct IntegerLayout {
  int bits = 4;
  int64_t group = -1;     // columns; -1: one for the row
  bool symmetric = true;  // every zero point is 2^(bits - 1)
  int64_t groups(int64_t k) const { return group > 0 ? k / group : 1; }
  bool operator==(const IntegerLayout&) const = default;
};

// A quantized matrix as that layout has it: the same integers code - zero and the same scales, in
// codes of layout.bits.
class IntegerRows {
 public:
  IntegerRows(QuantizedMatrix w, IntegerLayout layout) : w_(std::move(w)), layout_(layout) {}
  int64_t rows() const { return w_.rows(); }
  int64_t cols() const { return w_.cols(); }
  const IntegerLayout& layout() const { return layout_; }
  int64_t groups() const { return layout_.groups(cols()); }
  void codes(int64_t row, uint8_t* out) const;
  // The same as pack_bits has them, whole bytes alone: ceil(k * bits / 8).
  void packed_codes(int64_t row, std::byte* out) const;
  // Those of all rows where they lie just so, one row behind the other; else empty.
  std::span<const std::byte> stored_codes() const;
  int zero(int64_t row, int64_t group) const;
  // Those of a row's groups. out: (groups).
  void scales(int64_t row, float* out) const;
  // Gives the mapped pages of the codes back.
  void release() const { w_.code_view().release(); }

 private:
  int64_t own_group(int64_t group) const;  // of w_, which may have larger ones
  int shift() const;                       // of codes, from the scheme's middle to the layout's
  QuantizedMatrix w_;
  IntegerLayout layout_;
};

// The layout of a quantized linear among those of `widths` bits (ascending). Refuses what the
// formats cannot hold: more bits, groups that do not divide k or into powers of two from 16 to
// 1024; `where` names the module in errors.
Result<IntegerLayout> integer_layout(const ExportMatrix& m, std::span<const int> widths,
                                     const std::string& where);

// What must be known of a matrix before it is written.
struct GridFacts {
  bool zero_zero = false;       // a zero point of 0
  bool scales_rounded = false;  // a scale that float16 does not hold exactly
};
// Refuses scales that are infinite or zero as float16.
Result<GridFacts> grid_facts(const QuantizedMatrix& w, const std::string& where);

// A quantized linear of a block, and how it will be stored.
struct IntegerModule {
  ExportMatrix matrix;
  IntegerLayout layout;
};
// A model as GPTQ and AWQ see it: only linears of blocks may be quantized.
struct IntegerModel {
  std::vector<IntegerModule> modules;
  std::vector<std::string> floats;  // linears of blocks that are not quantized
  bool other_quantized = false;     // the embedding or the head
  bool asymmetric = false;          // any module is
  std::set<std::string> open;       // as ExportPlan's
  GridFacts facts;                  // true where any module has it
};
// What to tell of a model that has no integers to export: that it is a float one, or that its form
// has other values (NF4, K-quants).
std::string why_no_integers(const ExportRequest& request);

// The type of a quantized module's scales as the file's header has it; none where it does not say.
std::optional<DType> stored_scale_type(const Weights& model, const std::string& module);
// Adds the condition that they are float16 numbers where their type does not promise it.
void open_half_scales(const Weights& model, const std::string& module, std::set<std::string>& open);

// Refuses a model without quantized linears and what integer_layout refuses. With `grids`,
// grid_facts of every module too, which reads all scales (where request.values is not set: what
// their type promises).
Result<IntegerModel> integer_model(const ExportRequest& request, std::span<const int> widths,
                                   bool grids);
// The notes that both formats need, and plan.exact.
void note_integer_losses(const IntegerModel& model, ExportPlan& plan);
// Of 4 bits in groups that gptqmodel's first choice for CPUs cannot multiply: the backend that can.
void note_backend_for_groups(const IntegerModel& model, const char* backend, ExportPlan& plan);

// Of a mixture of experts: who loads it.
void note_experts(const DecoderConfig& config, ExportPlan& plan);

// A tensor of the module's rows, made when it is written. make: (const IntegerRows&) -> TensorView
// of this dtype and shape.
PendingTensor integer_tensor(const Weights& model, const IntegerModule& m, const char* part,
                             DType dtype, std::vector<int64_t> shape,
                             std::function<TensorView(const IntegerRows&)> make);

// MODULE.scales: float16 (groups, n).
TensorView group_scales(const IntegerRows& rows);

}  // namespace nibble
