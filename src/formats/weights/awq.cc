// AWQ folders of version "gemm", as AutoAWQ and GPTQModel write them.
// Source: github.com/casper-hansen/AutoAWQ, awq/modules/linear/gemm.py, awq/utils/packing_utils.py.
//
// MODULE.qweight: I32 (k, n / 8), nibble i of word c is output 8 c + kAwqOrder[i]; qzeros:
// (groups, n / 8) the same; scales: (groups, n).
#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"
#include "formats/weights/awq_order.h"
#include "formats/weights/parts.h"
#include "formats/weights/weight_format.h"

namespace nibble {
namespace {

constexpr int64_t kNibbles = 8;

uint32_t word_at(const TensorView& v, int64_t i) {
  uint32_t word;
  std::memcpy(&word, v.bytes.data() + 4 * i, 4);
  return word;
}

// words: (k, n / 8) to dense codes (n, k), rows padded to words.
std::vector<std::byte> dense_codes(const TensorView& words, int64_t n, int64_t k) {
  int64_t columns = n / kNibbles, row = ceil_div(k, kNibbles);
  std::vector<std::byte> out(static_cast<size_t>(n * row * 4));
  parallel_for(row, [&](int64_t at) {
    int64_t rows = std::min(kNibbles, k - at * kNibbles);
    for (int64_t c = 0; c < columns; ++c) {
      std::array<uint32_t, kNibbles> turned{};  // of output 8 c + kAwqOrder[i], eight inputs
      for (int64_t j = 0; j < rows; ++j) {
        uint32_t word = word_at(words, (at * kNibbles + j) * columns + c);
        for (size_t i = 0; i < kNibbles; ++i) turned[i] |= (word >> (4 * i) & 15) << (4 * j);
      }
      for (size_t i = 0; i < kNibbles; ++i)
        std::memcpy(out.data() + ((c * kNibbles + kAwqOrder[i]) * row + at) * 4, &turned[i], 4);
    }
  });
  return out;
}

class Awq : public WeightFormat {
 public:
  explicit Awq(int64_t group) : group_(group) {}

  bool holds(const Checkpoint& c, const std::string& module) const override {
    return c.has(module + ".qweight");
  }
  std::optional<Scheme> scheme_of(const Checkpoint& c, const std::string& module) const override {
    auto scales = c.get(module + ".scales");
    auto words = c.get(module + ".qweight");
    auto zeros = c.get(module + ".qzeros");
    if (!scales || !words || !zeros || words->shape.empty()) return std::nullopt;
    return scheme(*scales, *zeros);
  }
  Status check(const Checkpoint& c, const std::string& module, int64_t n,
               int64_t k) const override {
    if (n % kNibbles != 0)
      return fail("{}: {} outputs are no multiple of 8", place_of(c, module), n);
    int64_t groups = Scheme{4, Symmetry::kAsymmetric, group_}.groups(k);
    NB_OK(get_part(c, module, ".qweight", {DType::kI32}, std::array{k, n / kNibbles}));
    NB_OK(get_part(c, module, ".qzeros", {DType::kI32}, std::array{groups, n / kNibbles}));
    TensorView scales = NB_TRY(get_part(
        c, module, ".scales", {DType::kF16, DType::kBF16, DType::kF32}, std::array{groups, n}));
    NB_OK(finite_floats(scales, place_of(c, module), ".scales"));
    return {};
  }
  Result<QuantizedMatrix> quantized(const Checkpoint& c, const std::string& module, int64_t n,
                                    int64_t k) const override {
    NB_OK(check(c, module, n, k));
    TensorView words = NB_TRY(c.get(module + ".qweight")),
               zeros = NB_TRY(c.get(module + ".qzeros")),
               scales = NB_TRY(c.get(module + ".scales"));
    Scheme s = scheme(scales, zeros);
    int64_t groups = s.groups(k);
    TensorView codes = own_bytes(DType::kI32, {n, ceil_div(k, kNibbles)}, dense_codes(words, n, k));
    words.release();
    TensorView grid = transposed(s.scale_type, scales.bytes, groups, n);
    return QuantizedMatrix(s, n, k, std::move(codes), std::move(grid),
                           s.asymmetric() ? zero_points(zeros, n, groups) : std::vector<uint8_t>{},
                           0);
  }
  Result<int64_t> stored_bytes(const Checkpoint& c, const std::string& module, int64_t,
                               int64_t) const override {
    return bytes_of_parts(c, module, {".qweight", ".qzeros", ".scales"});
  }

 private:
  Scheme scheme(const TensorView& scales, const TensorView& zeros) const {
    bool middle = true;
    for (int64_t i = 0; i < zeros.elements() && middle; ++i)
      middle = word_at(zeros, i) == 0x88888888u;
    return {4, middle ? Symmetry::kSymmetric : Symmetry::kAsymmetric, group_, scales.dtype};
  }
  static std::vector<uint8_t> zero_points(const TensorView& words, int64_t n, int64_t groups) {
    std::vector<uint8_t> out(static_cast<size_t>(n * groups));
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t c = 0; c < n / kNibbles; ++c) {
        uint32_t word = word_at(words, g * (n / kNibbles) + c);
        for (size_t i = 0; i < kNibbles; ++i)
          out[static_cast<size_t>((c * kNibbles + kAwqOrder[i]) * groups + g)] =
              static_cast<uint8_t>(word >> (4 * i) & 15);
      }
    return out;
  }
  int64_t group_;
};

}  // namespace

Result<std::unique_ptr<WeightFormat>> make_awq(const Json& q, const std::string& what) {
  // quant_config.json has the names that AutoAWQ has inside.
  bool old = q.contains("w_bit");
  int64_t bits = NB_TRY(get_int(q, old ? "w_bit" : "bits", 4, what));
  if (bits != 4) return fail("{}: bits is {}; AWQ is read at 4", what, bits);
  int64_t group = NB_TRY(get_int(q, old ? "q_group_size" : "group_size", 128, what));
  if (group != -1 && (group < 1 || group > (1 << 24)))
    return fail("{}: group_size cannot be {}", what, group);
  for (const char* key : {"version", "format", "checkpoint_format"}) {
    std::string version = NB_TRY(get_string(q, key, "gemm", what));
    if (version != "gemm" && version != "GEMM")
      return fail("{}: {} {} is not read; gemm is", what, key, in_quotes(version));
  }
  return std::make_unique<Awq>(group == -1 ? Scheme::kChannel : group);
}

}  // namespace nibble
