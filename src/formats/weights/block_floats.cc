#include "formats/weights/block_floats.h"

#include "base/checked.h"
#include "base/threads.h"
#include "formats/weights/parts.h"

namespace nibble {
namespace {

constexpr std::array<float, 16> kE2M1 = {0,    .5f,  1,  1.5f,  2,  3,  4,  6,
                                         -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};

struct Parts {
  TensorView codes;
  std::vector<float> scales;
  int64_t rows = 1, columns = 1;  // of a block
  int64_t width = 1;              // scales in a row of them
};

// FP8 (n, k) or pairs; the pairs of a row may be cut into blocks of their own dimension.
Result<TensorView> get_codes(const Checkpoint& c, const std::string& module, const BlockFloats& f,
                             int64_t n, int64_t k) {
  TensorView view =
      NB_TRY(get_part(c, module, f.codes, {DType::kF8E4M3, DType::kF8E5M2, DType::kU8}));
  int64_t row = view.dtype == DType::kU8 ? ceil_div(k, 2) : k;
  bool in_blocks = view.dtype == DType::kU8 && view.shape.size() == 3 && view.dim(0) == n &&
                   view.dim(2) * 2 == f.columns && checked_mul(view.dim(1), view.dim(2)) == row;
  if (!in_blocks && view.shape != std::vector{n, row})
    return fail("{}: {} has shape {}, should be [{}, {}]", place_of(c, module), f.codes + 1,
                shape_text(view.shape), n, row);
  return view;
}

Status read_scales(const Checkpoint& c, const std::string& module, const BlockFloats& f, int64_t n,
                   int64_t k, Parts& out) {
  std::string place = place_of(c, module);
  TensorView view = NB_TRY(c.get(module + f.scales));
  if (f.exponents && view.dtype == DType::kU8) view.dtype = DType::kF8E8M0;
  if (!is_float(view.dtype) && !is_f8(view.dtype))
    return fail("{}: {} is of dtype {}, should be a float", place, f.scales + 1,
                dtype_name(view.dtype));
  std::vector<int64_t> blocks = {ceil_div(n, f.rows), ceil_div(k, f.columns)};
  if (view.elements() == 1 && view.shape.size() <= 2) {
    out.rows = n;
    out.columns = k;
  } else if (view.shape == std::vector{n} || view.shape == std::vector<int64_t>{n, 1}) {
    out.columns = k;
  } else if (view.shape == blocks) {
    out.rows = f.rows;
    out.columns = f.columns;
    out.width = blocks[1];
  } else {
    return fail("{}: {} has shape {}, should be {} for blocks of [{}, {}]", place, f.scales + 1,
                shape_text(view.shape), shape_text(blocks), f.rows, f.columns);
  }
  out.scales = NB_TRY(finite_floats(view, place, f.scales));
  if (!f.global) return {};
  TensorView global = NB_TRY(get_part(c, module, f.global, {DType::kF32}));
  if (global.elements() != 1)
    return fail("{}: {} has shape {}, should be one number", place, f.global + 1,
                shape_text(global.shape));
  float g = NB_TRY(finite_floats(global, place, f.global))[0];
  if (f.divide && g == 0) return fail("{}: {} is 0", place, f.global + 1);
  for (float& s : out.scales) s = f.divide ? s / g : s * g;
  return {};
}

Result<Parts> read_parts(const Checkpoint& c, const std::string& module, const BlockFloats& f,
                         int64_t n, int64_t k) {
  if (n < 1 || k < 1 || !checked_mul(n, k))
    return fail("{}: cannot have shape [{}, {}]", place_of(c, module), n, k);
  Parts out;
  out.codes = NB_TRY(get_codes(c, module, f, n, k));
  NB_OK(read_scales(c, module, f, n, k, out));
  return out;
}

}  // namespace

Status check_block_floats(const Checkpoint& c, const std::string& module, const BlockFloats& form,
                          int64_t n, int64_t k) {
  NB_OK(read_parts(c, module, form, n, k));
  return {};
}

Result<TensorView> read_block_floats(const Checkpoint& c, const std::string& module,
                                     const BlockFloats& form, int64_t n, int64_t k) {
  Parts p = NB_TRY(read_parts(c, module, form, n, k));
  bool pairs = p.codes.dtype == DType::kU8;
  std::array<float, 256> table;
  for (size_t i = 0; i < 256; ++i)
    table[i] = pairs ? 0 : f8_to_float(p.codes.dtype, static_cast<uint8_t>(i));
  std::vector<std::byte> bytes(static_cast<size_t>(n * k * 4));
  auto* out = reinterpret_cast<float*>(bytes.data());
  int64_t row_bytes = pairs ? ceil_div(k, 2) : k;
  parallel_for(n, [&](int64_t row) {
    const std::byte* from = p.codes.bytes.data() + row * row_bytes;
    const float* scales = p.scales.data() + row / p.rows * p.width;
    for (int64_t j = 0; j < k; ++j) {
      auto byte = std::to_integer<unsigned>(from[pairs ? j / 2 : j]);
      float value = pairs ? kE2M1[j % 2 ? byte >> 4 : byte & 15] : table[byte];
      out[row * k + j] = value * scales[j / p.columns];
    }
  });
  p.codes.release();
  return own_bytes(DType::kF32, {n, k}, std::move(bytes));
}

int64_t block_floats_bytes(const Checkpoint& c, const std::string& module,
                           const BlockFloats& form) {
  int64_t global = form.global ? bytes_of_parts(c, module, {form.global}) : 0;
  return bytes_of_parts(c, module, {form.codes, form.scales}) + global;
}

}  // namespace nibble
