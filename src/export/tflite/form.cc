#include "export/tflite/form.h"

#include <array>

namespace nibble {
namespace {

using Kind = OnnxForm::Kind;

constexpr int64_t kBlock = 32;  // of which XNNPACK takes multiples

std::string place_of(const Weights& model, const ExportMatrix& m) {
  return model.checkpoint().folder() + ": " + m.module;
}

// Integers of this width: the matrix's own where they fit, else rounded ones.
Result<OnnxForm> integers(const Weights& model, const ExportMatrix& m, int bits, int64_t group) {
  std::string where = place_of(model, m);
  if (bits == 4 && m.k % 2 != 0)
    return fail("{}: its {} columns are odd, and int4 stores two in a byte", where, m.k);
  if (group > 0 && m.k % group != 0)
    return fail("{}: its {} columns are no whole blocks of {}; take int4 or dynamic", where, m.k,
                group);
  OnnxForm out{.kind = Kind::kDequantized,
               .layout = {.bits = bits, .group = group, .symmetric = true}};
  if (group > 0) out.scale_type = DType::kF16;
  // Scales of a full range may be negative, which no operator takes.
  out.exact = m.scheme && m.scheme->symmetry == Symmetry::kSymmetric && m.scheme->bits <= bits;
  if (!out.exact) return out;
  int64_t own = m.scheme->group_size(m.k);
  out.exact = group > 0 ? own % group == 0 && m.k % own == 0 : own == m.k;
  if (!out.exact || group <= 0 || own == m.k) return out;
  // As few scales as the model has.
  const std::array widths = {bits};
  out.layout.group = NB_TRY(integer_layout(m, widths, where)).group;
  return out;
}

}  // namespace

Result<OnnxForm> tflite_form(const Weights& model, TfliteFlavour flavour, const ExportMatrix& m) {
  if (flavour == TfliteFlavour::kF32) return OnnxForm{.exact = !m.scheme};
  if (!m.scheme && !m.in_block) return OnnxForm{};
  if (m.in_block && has_fixed_ranges(flavour)) {
    OnnxForm out = NB_TRY(integers(model, m, 8, -1));
    out.kind = Kind::kStatic;
    out.one_scale = flavour == TfliteFlavour::kUint8;
    if (out.one_scale) out.exact &= m.scheme && m.scheme->group == Scheme::kTensor;
    return out;
  }
  // What a recipe keeps in more bits stays so.
  bool narrow = flavour == TfliteFlavour::kInt4 || flavour == TfliteFlavour::kInt4Blocks;
  bool wide = !narrow || !m.scheme || m.scheme->bits > 4;
  if (wide) return integers(model, m, 8, -1);
  return integers(model, m, 4, flavour == TfliteFlavour::kInt4Blocks ? kBlock : -1);
}

}  // namespace nibble
