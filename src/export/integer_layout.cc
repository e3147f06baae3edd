#include "export/integer_layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/panels.h"
#include "formats/gguf_model.h"
#include "formats/weights/parts.h"

namespace nibble {

int64_t IntegerRows::own_group(int64_t group) const {
  int64_t column = layout_.group > 0 ? group * layout_.group : 0;
  return w_.groups() > 1 ? column / w_.group_size() : 0;
}

int IntegerRows::shift() const {
  return layout_.symmetric ? (1 << (layout_.bits - 1)) - w_.scheme().symmetric_zero() : 0;
}

void IntegerRows::codes(int64_t row, uint8_t* out) const {
  w_.codes(row, out);
  if (shift() == 0) return;
  for (int64_t j = 0; j < cols(); ++j) out[j] = static_cast<uint8_t>(out[j] + shift());
}

void IntegerRows::packed_codes(int64_t row, std::byte* out) const {
  int bits = layout_.bits;
  auto size = static_cast<size_t>(ceil_div(cols() * bits, 8));
  if (bits == 8) return codes(row, reinterpret_cast<uint8_t*>(out));
  if (bits == w_.scheme().bits) {
    // The canonical layout has them so.
    int64_t stride = QuantizedMatrix::row_bytes(w_.scheme(), cols());
    std::memcpy(out, w_.code_view().bytes.data() + row * stride, size);
    return;
  }
  std::vector<uint8_t> values(static_cast<size_t>(cols()));
  codes(row, values.data());
  std::vector<std::byte> words(static_cast<size_t>(ceil_div(cols() * bits, 32) * 4));
  pack_bits(values.data(), cols(), bits, words.data());
  std::memcpy(out, words.data(), size);
}

std::span<const std::byte> IntegerRows::stored_codes() const {
  const Scheme& s = w_.scheme();
  bool so = !s.blocks && s.bits == layout_.bits && shift() == 0 && w_.code_flip() == 0 &&
            QuantizedMatrix::row_bytes(s, cols()) * 8 == cols() * s.bits;
  return so ? w_.code_view().bytes : std::span<const std::byte>();
}

int IntegerRows::zero(int64_t row, int64_t group) const {
  return layout_.symmetric ? 1 << (layout_.bits - 1) : w_.grid(row, own_group(group)).zero;
}

void IntegerRows::scales(int64_t row, float* out) const {
  thread_local std::vector<Grid> grids;
  grids.resize(static_cast<size_t>(w_.groups()));
  w_.grids(row, grids);
  for (int64_t g = 0; g < groups(); ++g) out[g] = grids[static_cast<size_t>(own_group(g))].scale;
}

Result<IntegerLayout> integer_layout(const ExportMatrix& m, std::span<const int> widths,
                                     const std::string& where) {
  constexpr int64_t kLeastGroup = 16, kMostGroup = 1024;
  const Scheme& s = *m.scheme;
  auto width = std::find_if(widths.begin(), widths.end(), [&](int b) { return b >= s.bits; });
  if (width == widths.end())
    return fail("{}: has {} bits, the format at most {}", where, s.bits, widths.back());
  IntegerLayout out{.bits = *width, .group = -1, .symmetric = !s.asymmetric()};
  int64_t group = s.group_size(m.k);
  if (s.group <= 0 || group == m.k) return out;
  if (m.k % group != 0)
    return fail("{}: its {} columns are no whole groups of {}", where, m.k, group);
  // A group that loaders do not know is several with equal scales.
  out.group = std::min(group & -group, kMostGroup);
  if (out.group < kLeastGroup)
    return fail("{}: groups of {} do not divide into any that loaders know (16 to 1024)", where,
                group);
  return out;
}

namespace {

// Of rows [first, last); `bad`: the first row with a scale that float16 has not.
struct RowFacts {
  GridFacts facts;
  int64_t bad = -1;
  float scale = 0;
};

RowFacts facts_of(const QuantizedMatrix& w, int64_t first, int64_t last) {
  RowFacts out;
  std::vector<Grid> grids(static_cast<size_t>(w.groups()));
  bool halves = w.scale_view().dtype == DType::kF16;
  for (int64_t r = first; r < last; ++r) {
    w.grids(r, grids);
    for (const Grid& grid : grids) {
      float half = halves ? grid.scale : f16_to_float(float_to_f16(grid.scale));
      if (half == 0 || !std::isfinite(half)) return {out.facts, r, grid.scale};
      out.facts.scales_rounded |= half != grid.scale;
      out.facts.zero_zero |= grid.zero == 0;
    }
  }
  return out;
}

}  // namespace

Result<GridFacts> grid_facts(const QuantizedMatrix& w, const std::string& where) {
  std::vector<RowFacts> parts(static_cast<size_t>(ceil_div(w.rows(), kPanelRows)));
  each_panel(w.rows(), [&](int64_t first, int64_t count) {
    parts[static_cast<size_t>(first / kPanelRows)] = facts_of(w, first, first + count);
  });
  GridFacts out;
  for (const RowFacts& part : parts) {
    if (part.bad >= 0)
      return fail("{}: the scale {:g} in row {} is outside float16, which the format stores", where,
                  part.scale, part.bad);
    out.scales_rounded |= part.facts.scales_rounded;
    out.zero_zero |= part.facts.zero_zero;
  }
  return out;
}

std::string why_no_integers(const ExportRequest& request) {
  for (const ExportMatrix& m : export_matrices(request.model))
    if (std::string form = request.model.form_of(m.module); !m.scheme && !form.empty())
      return fmt::format(
          "{}: {}: values of {} lie on no grid of integers; make integers of them first (nibble "
          "quantize --requantize), which loses more",
          request.folder(), m.module, form);
  return fmt::format("{}: has no quantized weights; quantize it first (nibble quantize)",
                     request.folder());
}

std::optional<DType> stored_scale_type(const Weights& model, const std::string& module) {
  const Checkpoint& checkpoint = model.checkpoint();
  for (const char* part : {".weight_scale", ".scales"})
    if (checkpoint.has(module + part)) {
      Result<TensorView> scales = checkpoint.get(module + part);
      return scales ? std::optional(scales->dtype) : std::nullopt;
    }
  // ggml's blocks of integers have float16 scales.
  if (is_gguf_model(checkpoint.folder())) return DType::kF16;
  return std::nullopt;
}

void open_half_scales(const Weights& model, const std::string& module,
                      std::set<std::string>& open) {
  if (stored_scale_type(model, module) != DType::kF16)
    open.insert("its scales are float16 numbers");
}

Result<IntegerModel> integer_model(const ExportRequest& request, std::span<const int> widths,
                                   bool grids) {
  IntegerModel out;
  for (const ExportMatrix& m : export_matrices(request.model)) {
    if (!m.in_block) {
      out.other_quantized |= m.scheme.has_value();
      continue;
    }
    if (!m.scheme) {
      out.floats.push_back(m.module);
      continue;
    }
    std::string where = request.folder() + ": " + m.module;
    out.modules.push_back({m, NB_TRY(integer_layout(m, widths, where))});
    out.asymmetric |= m.scheme->asymmetric();
    if (!request.values) open_half_scales(request.model, m.module, out.open);
    if (!grids || !request.values) continue;
    GridFacts facts =
        NB_TRY(grid_facts(NB_TRY(request.model.quantized(m.module, m.n, m.k)), where));
    out.facts.zero_zero |= facts.zero_zero;
    out.facts.scales_rounded |= facts.scales_rounded;
  }
  if (out.modules.empty()) return fail("{}", why_no_integers(request));
  return out;
}

void note_integer_losses(const IntegerModel& model, ExportPlan& plan) {
  plan.exact = !model.facts.scales_rounded && !model.other_quantized;
  if (plan.exact) plan.open = model.open;
  if (model.facts.scales_rounded) plan.notes.emplace_back("Scales are rounded to float16.");
  if (model.other_quantized)
    plan.notes.emplace_back(
        "Embedding and head are stored as floats: these loaders quantize linears of blocks.");
}

// Source: pytorch aten/src/ATen/native/LinearAlgebra.cpp, _weight_int4pack_mm_cpu. gptqmodel 7.7
// asks for it (TorchAtenLinear) whatever the groups are.
void note_backend_for_groups(const IntegerModel& model, const char* backend, ExportPlan& plan) {
  constexpr std::array<int64_t, 4> kGroups = {32, 64, 128, 256};
  if (std::ranges::none_of(model.modules, [&](const IntegerModule& m) {
        return m.layout.bits == 4 && std::ranges::find(kGroups, m.layout.group) == kGroups.end();
      }))
    return;
  plan.notes.push_back(fmt::format(
      "On CPUs gptqmodel chooses a kernel of groups of 32, 64, 128 and 256 alone, which "
      "these are not: name its backend \"{}\".",
      backend));
}

void note_experts(const DecoderConfig& config, ExportPlan& plan) {
  if (config.has_experts())
    plan.notes.emplace_back(
        "transformers 5.23 keeps experts in one tensor, which it leaves at initial values here; "
        "gptqmodel's own GPTQModel.load loads them.");
}

PendingTensor integer_tensor(const Weights& model, const IntegerModule& m, const char* part,
                             DType dtype, std::vector<int64_t> shape,
                             std::function<TensorView(const IntegerRows&)> make) {
  return {m.matrix.module + part, dtype, std::move(shape),
          [&model, m, make = std::move(make)]() -> Result<TensorView> {
            IntegerRows rows(NB_TRY(model.quantized(m.matrix.module, m.matrix.n, m.matrix.k)),
                             m.layout);
            TensorView out = make(rows);
            rows.release();
            return out;
          }};
}

TensorView group_scales(const IntegerRows& rows) {
  int64_t n = rows.rows(), groups = rows.groups(), size = dtype_size(DType::kF16);
  std::vector<std::byte> halves(static_cast<size_t>(n * groups * size));
  each_panel(n, [&](int64_t first, int64_t count) {
    std::vector<float> scales(static_cast<size_t>(groups));
    for (int64_t r = first; r < first + count; ++r) {
      rows.scales(r, scales.data());
      from_float(DType::kF16, scales.data(), groups, halves.data() + r * groups * size);
    }
  });
  return transposed(DType::kF16, halves, n, groups);
}

}  // namespace nibble
