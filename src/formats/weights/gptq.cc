// GPTQ folders, v1 and v2, as GPTQModel, AutoGPTQ and transformers write them.
// Source: github.com/ModelCloud/GPTQModel 7.7, nn_modules/qlinear/__init__.py (pack_block),
// utils/model.py (convert_gptq_v1_to_v2_format_module), quantization/config.py (dynamic).
//
// MODULE.qweight: I32 (k bits / 32, n), a column of words is a row of ours. qzeros: I32
// (groups, n bits / 32), dense along n; scales: (groups, n); g_idx: I32 (k), each column's group.
#include "base/checked.h"
#include "formats/name_pattern.h"
#include "formats/weights/parts.h"
#include "formats/weights/weight_format.h"

namespace nibble {
namespace {

struct Grouping {
  int bits = 4;
  int64_t group = Scheme::kChannel;
};

// Rows of bytes for the zero points of one group at a time.
class Zeros {
 public:
  // words: (groups, n bits / 32). v1 stores each zero point less one. At 2, 4 and 8 bits writers
  // subtract ones from whole words, so that a zero of 0 borrows from its neighbour; adding them to
  // whole words undoes just that. Fields of 3 bits cross words and wrap each by itself.
  Zeros(const TensorView& words, int64_t n, int bits, bool v1)
      : words_(words), n_(n), bits_(bits), v1_(v1) {}

  std::vector<uint8_t> of_group(int64_t g) const {
    auto size = static_cast<size_t>(n_ * bits_ / 8);
    std::vector<std::byte> row(words_.bytes.begin() + g * static_cast<int64_t>(size),
                               words_.bytes.begin() + (g + 1) * static_cast<int64_t>(size));
    if (v1_ && bits_ != 3) add_ones(row);
    std::vector<uint8_t> out(static_cast<size_t>(n_));
    unpack_bits(row.data(), n_, bits_, out.data());
    if (v1_ && bits_ == 3)
      for (uint8_t& z : out) z = (z + 1) & 7;
    return out;
  }

 private:
  void add_ones(std::vector<std::byte>& row) const {
    uint32_t ones = bits_ == 2 ? 0x55555555u : bits_ == 4 ? 0x11111111u : 0x01010101u;
    for (size_t at = 0; at < row.size(); at += 4) {
      uint32_t word;
      std::memcpy(&word, row.data() + at, 4);
      word += ones;
      std::memcpy(row.data() + at, &word, 4);
    }
  }
  const TensorView& words_;
  int64_t n_;
  int bits_;
  bool v1_;
};

// Whether every stored zero point of (groups, n bits / 32) is `zero`.
bool all_zeros_are(int zero, const TensorView& words, int64_t n, int bits) {
  std::vector<std::byte> row(static_cast<size_t>(n * bits / 8));
  pack_bits(std::vector(static_cast<size_t>(n), static_cast<uint8_t>(zero)).data(), n, bits,
            row.data());
  for (size_t at = 0; at < words.bytes.size(); at += row.size())
    if (std::memcmp(words.bytes.data() + at, row.data(), row.size()) != 0) return false;
  return true;
}

class Gptq : public WeightFormat {
 public:
  static Result<std::unique_ptr<WeightFormat>> parse(const Json& q, const std::string& what);

  bool holds(const Checkpoint& c, const std::string& module) const override {
    return c.has(module + ".qweight") && grouping_of(module);
  }
  std::optional<Scheme> scheme_of(const Checkpoint& c, const std::string& module) const override {
    auto parts = open(c, module);
    if (!parts || !parts->order.empty()) return std::nullopt;
    return parts->scheme;
  }
  std::string name_of(const Checkpoint& c, const std::string& module) const override {
    auto parts = open(c, module);
    if (!parts) return "gptq";
    return parts->scheme.name() + (parts->order.empty() ? "" : " act-order");
  }
  Status check(const Checkpoint& c, const std::string& module, int64_t n,
               int64_t k) const override {
    Parts parts = NB_TRY(open(c, module));
    if (parts.n != n || parts.k != k)
      return fail("{}: qweight has shape {}, which is ({}, {}) at {} bits, should be ({}, {})",
                  place_of(c, module), shape_text(parts.qweight.shape), parts.n, parts.k,
                  parts.scheme.bits, n, k);
    return check_finite(parts.scales, place_of(c, module), ".scales");
  }
  Result<QuantizedMatrix> quantized(const Checkpoint& c, const std::string& module, int64_t n,
                                    int64_t k) const override {
    NB_OK(check(c, module, n, k));
    Parts parts = NB_TRY(open(c, module));
    if (!parts.order.empty()) return WeightFormat::quantized(c, module, n, k);
    return matrix(parts);
  }
  Result<TensorView> floats(const Checkpoint& c, const std::string& module, int64_t n,
                            int64_t k) const override {
    NB_OK(check(c, module, n, k));
    Parts parts = NB_TRY(open(c, module));
    if (parts.order.empty()) return WeightFormat::floats(c, module, n, k);
    return regrouped_floats(matrix(parts), parts.order);
  }
  Result<int64_t> stored_bytes(const Checkpoint& c, const std::string& module, int64_t,
                               int64_t) const override {
    return bytes_of_parts(c, module, {".qweight", ".qzeros", ".scales", ".g_idx"});
  }

 private:
  struct Parts {
    int64_t n, k;
    Scheme scheme;
    TensorView qweight, qzeros, scales;
    std::vector<int32_t> order;  // empty where groups are contiguous
  };
  struct Override {
    NamePattern pattern;
    std::optional<Grouping> grouping;  // none: the module was left out
  };

  std::optional<Grouping> grouping_of(const std::string& module) const {
    for (const Override& o : overrides_)
      if (o.pattern.match(module) != NamePattern::Match::kNone) return o.grouping;
    return base_;
  }
  Result<Parts> open(const Checkpoint& c, const std::string& module) const;
  QuantizedMatrix matrix(const Parts& parts) const;
  static Result<Grouping> parse_grouping(const Json& q, Grouping fallback, const std::string& what);

  Grouping base_;
  std::vector<Override> overrides_;
  bool v1_ = true;
};

Result<Grouping> Gptq::parse_grouping(const Json& q, Grouping fallback, const std::string& what) {
  int64_t bits = NB_TRY(get_int(q, "bits", fallback.bits, what));
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    return fail("{}: bits is {}; 2, 3, 4 and 8 are read", what, bits);
  int64_t group = NB_TRY(get_int(q, "group_size", fallback.group > 0 ? fallback.group : -1, what));
  if (group != -1 && (group < 1 || group > (1 << 24)))
    return fail("{}: group_size cannot be {}", what, group);
  return Grouping{static_cast<int>(bits), group == -1 ? Scheme::kChannel : group};
}

Result<std::unique_ptr<WeightFormat>> Gptq::parse(const Json& q, const std::string& what) {
  auto out = std::make_unique<Gptq>();
  out->base_ = NB_TRY(parse_grouping(q, {4, 128}, what));
  std::string plain = NB_TRY(get_string(q, "format", "gptq", what));
  std::string format = NB_TRY(get_string(q, "checkpoint_format", plain, what));
  if (NB_TRY(get_bool(q, "is_marlin_format", false, what))) format = "marlin";
  if (format != "gptq" && format != "gptq_v2")
    return fail("{}: checkpoint_format {} is not read; gptq and gptq_v2 are", what,
                in_quotes(format));
  out->v1_ = format == "gptq";
  std::string words = NB_TRY(get_string(q, "pack_dtype", "int32", what));
  if (words != "int32")
    return fail("{}: pack_dtype {} is not read; int32 is", what, in_quotes(words));
  auto dynamic = q.find("dynamic");
  if (dynamic == q.end() || dynamic->is_null()) return out;
  constexpr size_t kMost = 20'000;
  if (!dynamic->is_object() || dynamic->size() > kMost)
    return fail("{}: dynamic should be an object of at most {} patterns", what, kMost);
  for (const auto& [key, fields] : dynamic->items()) {
    std::string where = fmt::format("{} dynamic {}", what, in_quotes(key));
    bool left_out = key.starts_with("-:");
    std::string pattern = left_out || key.starts_with("+:") ? key.substr(2) : key;
    Override o{NB_TRY(NamePattern::compile("re:" + pattern, where)), std::nullopt};
    if (!left_out) o.grouping = NB_TRY(parse_grouping(fields, out->base_, where));
    out->overrides_.push_back(std::move(o));
  }
  return out;
}

Result<Gptq::Parts> Gptq::open(const Checkpoint& c, const std::string& module) const {
  std::optional<Grouping> grouping = grouping_of(module);
  if (!grouping) return fail("{}: is left out of the quantization", place_of(c, module));
  int bits = grouping->bits;
  Parts p;
  p.qweight = NB_TRY(get_part(c, module, ".qweight", {DType::kI32}));
  auto bits_of_column =
      p.qweight.shape.size() == 2 ? checked_mul(p.qweight.dim(0), 32) : std::nullopt;
  if (!bits_of_column || *bits_of_column < 1 || *bits_of_column % bits != 0 ||
      p.qweight.dim(1) < 1 || p.qweight.dim(1) * bits % 32 != 0)
    return fail("{}: qweight cannot have shape {} at {} bits", place_of(c, module),
                shape_text(p.qweight.shape), bits);
  p.k = *bits_of_column / bits;
  p.n = p.qweight.dim(1);
  p.scheme = {bits, Symmetry::kAsymmetric, grouping->group, DType::kF16};
  int64_t groups = p.scheme.groups(p.k);
  p.qzeros =
      NB_TRY(get_part(c, module, ".qzeros", {DType::kI32}, std::array{groups, p.n * bits / 32}));
  p.scales = NB_TRY(get_part(c, module, ".scales", {DType::kF16, DType::kBF16, DType::kF32},
                             std::array{groups, p.n}));
  p.scheme.scale_type = p.scales.dtype;
  p.order = NB_TRY(column_groups(c, module, ".g_idx", p.k, groups, p.scheme.group_size(p.k)));
  bool middle = all_zeros_are(p.scheme.symmetric_zero() - (v1_ ? 1 : 0), p.qzeros, p.n, bits);
  // Eight bits use code 0 too, so that is the full range.
  if (middle) p.scheme.symmetry = bits == 8 ? Symmetry::kFullRange : Symmetry::kSymmetric;
  return p;
}

QuantizedMatrix Gptq::matrix(const Parts& p) const {
  int64_t groups = p.scheme.groups(p.k), words = p.qweight.dim(0);
  Scheme s = p.scheme;
  TensorView codes = transposed(DType::kI32, p.qweight.bytes, words, p.n);
  p.qweight.release();
  TensorView scales = transposed(s.scale_type, p.scales.bytes, groups, p.n);
  std::vector<uint8_t> out;
  if (s.asymmetric()) {
    Zeros zeros(p.qzeros, p.n, s.bits, v1_);
    out.resize(static_cast<size_t>(p.n * groups));
    for (int64_t g = 0; g < groups; ++g) {
      std::vector<uint8_t> of_group = zeros.of_group(g);
      for (int64_t r = 0; r < p.n; ++r)
        out[static_cast<size_t>(r * groups + g)] = of_group[static_cast<size_t>(r)];
    }
  }
  return {s, p.n, p.k, std::move(codes), std::move(scales), std::move(out), 0};
}

}  // namespace

Result<std::unique_ptr<WeightFormat>> make_gptq(const Json& q, const std::string& what) {
  return Gptq::parse(q, what);
}

}  // namespace nibble
