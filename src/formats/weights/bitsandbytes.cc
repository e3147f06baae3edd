// bitsandbytes folders as transformers saves them: LLM.int8, NF4 and FP4, with and without double
// quantization.
// Source: github.com/bitsandbytes-foundation/bitsandbytes 0.50, functional.py (QuantState,
// dequantize_4bit), backends/default/ops.py, nn/modules.py (Linear8bitLt).
//
// int8: MODULE.weight I8 (n, k), SCB F32 (n), w = code SCB / 127. 4 bits: MODULE.weight U8
// (ceil(n k / 2), 1), the first value in the high nibble; blocks of `blocksize` values of the whole
// matrix share weight.absmax: F32, or U8 that weight.nested_* spread out. What else belongs to it
// is JSON in weight.quant_state.bitsandbytes__nf4 (or fp4).
#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "formats/weights/parts.h"
#include "formats/weights/weight_format.h"

namespace nibble {
namespace {

constexpr std::array kKinds = {"nf4", "fp4"};
constexpr int64_t kMostState = 1 << 16;

std::string state_part(const char* kind) {
  return std::string(".weight.quant_state.bitsandbytes__") + kind;
}

// "nf4", "fp4", or null for a module that is neither.
const char* kind_of(const Checkpoint& c, const std::string& module) {
  for (const char* kind : kKinds)
    if (c.has(module + state_part(kind))) return kind;
  return nullptr;
}

// What the JSON of a quant_state says.
struct QuantState {
  DType type = DType::kF32;  // of the values, rounded as the package does
  int64_t block = 64, nested_block = 256;
  float nested_offset = 0;
  Json shape;
};

Result<QuantState> read_state(const Checkpoint& c, const std::string& module, const char* kind) {
  std::string part = state_part(kind);
  TensorView view = NB_TRY(get_part(c, module, part.c_str(), {DType::kU8}));
  std::string where = place_of(c, module) + " " + part.substr(1);
  if (view.elements() > kMostState) return fail("{}: is too long", where);
  Json j = NB_TRY(
      parse_json({reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()}, where));
  if (!j.is_object()) return fail("{}: should be a JSON object", where);
  QuantState s;
  std::string said = NB_TRY(get_string(j, "quant_type", kind, where));
  if (said != kind) return fail("{}: quant_type is {}", where, in_quotes(said));
  std::string type = NB_TRY(get_string(j, "dtype", {}, where));
  if (type != "float32" && type != "float16" && type != "bfloat16")
    return fail("{}: dtype {} is not read", where, in_quotes(type));
  s.type = type == "float32" ? DType::kF32 : type == "float16" ? DType::kF16 : DType::kBF16;
  s.block = NB_TRY(get_int(j, "blocksize", {}, where));
  s.nested_block = NB_TRY(get_int(j, "nested_blocksize", s.nested_block, where));
  for (int64_t size : {s.block, s.nested_block})
    if (size < 1 || size > (1 << 24)) return fail("{}: a blocksize cannot be {}", where, size);
  double offset = NB_TRY(get_number(j, "nested_offset", 0, where));
  s.nested_offset = static_cast<float>(offset);
  if (!std::isfinite(s.nested_offset)) return fail("{}: nested_offset is {}", where, offset);
  if (auto shape = j.find("shape"); shape != j.end()) s.shape = *shape;
  return s;
}

// The scale of each block, undoing the second quantization where there is one.
Result<std::vector<float>> read_absmax(const Checkpoint& c, const std::string& module,
                                       const QuantState& s, int64_t blocks) {
  constexpr const char *kAbsmax = ".weight.absmax", *kNested = ".weight.nested_absmax",
                       *kMap = ".weight.nested_quant_map";
  TensorView view =
      NB_TRY(get_part(c, module, kAbsmax, {DType::kF32, DType::kU8}, std::array{blocks}));
  std::string place = place_of(c, module);
  if (view.dtype == DType::kF32) return finite_floats(view, place, kAbsmax);
  TensorView outer = NB_TRY(
      get_part(c, module, kNested, {DType::kF32}, std::array{ceil_div(blocks, s.nested_block)}));
  TensorView table = NB_TRY(get_part(c, module, kMap, {DType::kF32}, std::array{int64_t{256}}));
  std::vector<float> scale = NB_TRY(finite_floats(outer, place, kNested)),
                     map = NB_TRY(finite_floats(table, place, kMap)), out;
  for (int64_t i = 0; i < blocks; ++i) {
    auto code = std::to_integer<size_t>(view.bytes[static_cast<size_t>(i)]);
    float product = map[code] * scale[static_cast<size_t>(i / s.nested_block)];
    out.push_back(product + s.nested_offset);
  }
  return out;
}

class BitsAndBytes : public WeightFormat {
 public:
  bool holds(const Checkpoint& c, const std::string& module) const override {
    return c.has(module + ".SCB") || kind_of(c, module);
  }
  std::optional<Scheme> scheme_of(const Checkpoint& c, const std::string& module) const override {
    if (kind_of(c, module)) return std::nullopt;
    return kInt8;
  }
  std::string name_of(const Checkpoint& c, const std::string& module) const override {
    const char* kind = kind_of(c, module);
    return kind ? kind : "llm-int8";
  }
  Status check(const Checkpoint& c, const std::string& module, int64_t n,
               int64_t k) const override {
    if (kind_of(c, module)) return check_pairs(c, module, n, k);
    NB_OK(get_part(c, module, ".weight", {DType::kI8}, std::array{n, k}));
    TensorView scb = NB_TRY(get_part(c, module, ".SCB", {DType::kF32}, std::array{n}));
    NB_OK(finite_floats(scb, place_of(c, module), ".SCB"));
    if (!c.has(module + ".weight_format")) return {};
    TensorView format = NB_TRY(get_part(c, module, ".weight_format", {DType::kU8}));
    if (format.elements() != 1 || format.bytes[0] != std::byte{0})
      return fail("{}: weight_format is not the row layout", place_of(c, module));
    return {};
  }
  Result<QuantizedMatrix> quantized(const Checkpoint& c, const std::string& module, int64_t n,
                                    int64_t k) const override {
    if (kind_of(c, module)) return WeightFormat::quantized(c, module, n, k);
    NB_OK(check(c, module, n, k));
    TensorView scb = NB_TRY(c.get(module + ".SCB"));
    std::vector<float> scales = NB_TRY(finite_floats(scb, place_of(c, module), ".SCB"));
    for (float& s : scales) s /= 127;
    return QuantizedMatrix(kInt8, n, k, NB_TRY(c.get(module + ".weight")),
                           own_floats(DType::kF32, {n, 1}, scales), {}, 0x80);
  }
  Result<TensorView> floats(const Checkpoint& c, const std::string& module, int64_t n,
                            int64_t k) const override {
    const char* kind = kind_of(c, module);
    if (!kind) return WeightFormat::floats(c, module, n, k);
    NB_OK(check_pairs(c, module, n, k));
    QuantState s = NB_TRY(read_state(c, module, kind));
    std::vector<float> absmax = NB_TRY(read_absmax(c, module, s, ceil_div(n * k, s.block))),
                       map = NB_TRY(
                           finite_floats(NB_TRY(c.get(module + kMap)), place_of(c, module), kMap));
    TensorView pairs = NB_TRY(c.get(module + ".weight"));
    std::vector<std::byte> out(static_cast<size_t>(n * k * dtype_size(s.type)));
    parallel_for(n, [&](int64_t row) {
      std::vector<float> values(static_cast<size_t>(k));
      for (int64_t j = 0; j < k; ++j) {
        int64_t i = row * k + j;
        auto pair = std::to_integer<unsigned>(pairs.bytes[static_cast<size_t>(i / 2)]);
        values[static_cast<size_t>(j)] =
            map[i % 2 ? pair & 15 : pair >> 4] * absmax[static_cast<size_t>(i / s.block)];
      }
      from_float(s.type, values.data(), k, out.data() + row * k * dtype_size(s.type));
    });
    pairs.release();
    return own_bytes(s.type, {n, k}, std::move(out));
  }
  DType float_type(const Checkpoint& c, const std::string& module) const override {
    const char* kind = kind_of(c, module);
    if (!kind) return DType::kF32;
    auto state = read_state(c, module, kind);
    return state ? state->type : DType::kF32;
  }
  Result<int64_t> stored_bytes(const Checkpoint& c, const std::string& module, int64_t,
                               int64_t) const override {
    return bytes_of_parts(c, module,
                          {".weight", ".SCB", ".weight_format", ".weight.absmax", kMap,
                           ".weight.nested_absmax", ".weight.nested_quant_map"});
  }

 private:
  // LLM.int8 uses codes -127..127 of its rows' absmax.
  static constexpr Scheme kInt8{8, Symmetry::kSymmetric, Scheme::kChannel, DType::kF32};
  static constexpr const char* kMap = ".weight.quant_map";

  static Status check_pairs(const Checkpoint& c, const std::string& module, int64_t n, int64_t k) {
    auto size = checked_mul(n, k);
    if (!size) return fail("{}: cannot have shape [{}, {}]", place_of(c, module), n, k);
    TensorView pairs = NB_TRY(get_part(c, module, ".weight", {DType::kU8}));
    if (pairs.elements() != ceil_div(*size, 2))
      return fail("{}: weight has {} bytes, should be {} for [{}, {}]", place_of(c, module),
                  pairs.elements(), ceil_div(*size, 2), n, k);
    QuantState s = NB_TRY(read_state(c, module, kind_of(c, module)));
    if (s.shape != Json::array({n, k}))
      return fail("{}: quant_state says shape {}, should be [{}, {}]", place_of(c, module),
                  in_quotes(s.shape.dump(-1, ' ', true)), n, k);
    NB_OK(read_absmax(c, module, s, ceil_div(*size, s.block)));
    TensorView map = NB_TRY(get_part(c, module, kMap, {DType::kF32}, std::array{int64_t{16}}));
    NB_OK(finite_floats(map, place_of(c, module), kMap));
    return {};
  }
};

}  // namespace

// Which modules are quantized and how, their tensors say.
Result<std::unique_ptr<WeightFormat>> make_bitsandbytes(const Json&, const std::string&) {
  return std::make_unique<BitsAndBytes>();
}

}  // namespace nibble
