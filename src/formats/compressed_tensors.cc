#include "formats/compressed_tensors.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "formats/sparse_bitmap.h"

namespace nibble {
namespace {

// Eight-bit codes are stored signed, as int8; ours are the same bytes with this bit flipped.
constexpr uint8_t kSignFlip = 0x80;

int64_t packed_words(int64_t count, int bits) { return ceil_div(count * bits, 32); }

bool has_packed_zeros(const Scheme& s, bool pack = false) {
  return (s.bits < 8 || pack) && s.group != Scheme::kTensor;
}

// zeros: (n, groups) to words: (ceil(n * bits / 32), groups), packed along the rows.
std::vector<std::byte> pack_columns(std::span<const uint8_t> zeros, int64_t n, int64_t groups,
                                    int bits) {
  int64_t words = packed_words(n, bits);
  std::vector<std::byte> out(static_cast<size_t>(words * groups * 4));
  std::vector<uint8_t> column(static_cast<size_t>(n));
  std::vector<std::byte> packed(static_cast<size_t>(words * 4));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < n; ++r)
      column[static_cast<size_t>(r)] = zeros[static_cast<size_t>(r * groups + g)];
    pack_bits(column.data(), n, bits, packed.data());
    for (int64_t w = 0; w < words; ++w)
      std::memcpy(out.data() + (w * groups + g) * 4, packed.data() + w * 4, 4);
  }
  return out;
}

std::vector<uint8_t> unpack_columns(const std::byte* words_in, int64_t n, int64_t groups,
                                    int bits) {
  int64_t words = packed_words(n, bits);
  std::vector<uint8_t> zeros(static_cast<size_t>(n * groups));
  std::vector<uint8_t> column(static_cast<size_t>(n));
  std::vector<std::byte> packed(static_cast<size_t>(words * 4));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t w = 0; w < words; ++w)
      std::memcpy(packed.data() + w * 4, words_in + (w * groups + g) * 4, 4);
    unpack_bits(packed.data(), n, bits, column.data());
    for (int64_t r = 0; r < n; ++r)
      zeros[static_cast<size_t>(r * groups + g)] = column[static_cast<size_t>(r)];
  }
  return zeros;
}

TensorView zero_view(const QuantizedMatrix& w, bool pack) {
  const Scheme& s = w.scheme();
  if (has_packed_zeros(s, pack))
    return own_bytes(DType::kI32, {packed_words(w.rows(), s.bits), w.groups()},
                     pack_columns(w.zeros(), w.rows(), w.groups(), s.bits));
  // Signed bytes. A single zero point is repeated for every row: the package takes one for the
  // tensor or one a row, other readers only the latter.
  std::vector<std::byte> bytes;
  int64_t repeat = s.group == Scheme::kTensor ? w.rows() : 1;
  for (int64_t i = 0; i < repeat; ++i)
    for (uint8_t z : w.zeros()) bytes.push_back(static_cast<std::byte>(z - s.symmetric_zero()));
  return own_bytes(DType::kI8, {w.rows(), w.groups()}, std::move(bytes));
}

// The codes of an 8-bit matrix as int8 (n, k).
TensorView signed_codes(const QuantizedMatrix& w) {
  if (w.code_flip() == kSignFlip) {
    TensorView view = w.code_view();
    view.dtype = DType::kI8;
    view.shape = {w.rows(), w.cols()};
    return view;
  }
  std::vector<std::byte> bytes(static_cast<size_t>(w.rows() * w.cols()));
  for (int64_t r = 0; r < w.rows(); ++r)
    w.codes(r, reinterpret_cast<uint8_t*>(bytes.data()) + r * w.cols());
  for (std::byte& b : bytes) b ^= std::byte{kSignFlip};
  return own_bytes(DType::kI8, {w.rows(), w.cols()}, std::move(bytes));
}

// The codes as words of int32 (n, ceil(k * bits / 32)).
TensorView packed_codes(const QuantizedMatrix& w) {
  int64_t words = packed_words(w.cols(), w.scheme().bits);
  TensorView view = w.code_view();
  if (w.code_flip() != 0) {
    std::vector<std::byte> bytes(static_cast<size_t>(w.rows() * words * 4));
    std::vector<uint8_t> row(static_cast<size_t>(w.cols()));
    for (int64_t r = 0; r < w.rows(); ++r) {
      w.codes(r, row.data());
      pack_bits(row.data(), w.cols(), w.scheme().bits, bytes.data() + r * words * 4);
    }
    view = own_bytes(DType::kI32, {}, std::move(bytes));
  }
  view.dtype = DType::kI32;
  view.shape = {w.rows(), words};
  return view;
}

// Whether every float has some but not all exponent and fraction bits: neither zero nor infinite.
template <class Word>
bool proper(std::span<const std::byte> bytes, Word exponent, Word magnitude) {
  constexpr int64_t kPiece = 1 << 18;
  auto size = static_cast<int64_t>(bytes.size());
  std::atomic<bool> good = true;
  parallel_for(ceil_div(size, kPiece), [&](int64_t piece) {
    Word bad = 0;
    int64_t end = std::min(size, (piece + 1) * kPiece);
    for (int64_t i = piece * kPiece; i < end; i += static_cast<int64_t>(sizeof(Word))) {
      Word w;
      std::memcpy(&w, bytes.data() + i, sizeof w);
      // One comparison, in which 0 is the largest of all: this is a loop of vectors.
      bad |= static_cast<Word>((w & magnitude) - 1) >= static_cast<Word>(exponent - 1);
    }
    if (bad) good = false;
  });
  return good;
}

bool proper_scales(const TensorView& v) {
  if (v.dtype == DType::kF16) return proper<uint16_t>(v.bytes, 0x7c00u, 0x7fffu);
  if (v.dtype == DType::kBF16) return proper<uint16_t>(v.bytes, 0x7f80u, 0x7fffu);
  return proper<uint32_t>(v.bytes, 0x7f800000u, 0x7fffffffu);
}

// Reads the tensors of one module; every message names the module.
class ModuleReader {
 public:
  ModuleReader(const Checkpoint& checkpoint, const std::string& module, Scheme scheme, int64_t n,
               int64_t k)
      : checkpoint_(checkpoint), module_(module), scheme_(scheme), n_(n), k_(k) {}

  Result<QuantizedMatrix> read() {
    if (n_ < 1 || k_ < 1 || !checked_mul(n_, k_) || !checked_mul(k_, scheme_.bits))
      return fail("{}: cannot have shape [{}, {}]", where(), n_, k_);
    NB_OK(check_stated_shape());
    bool sparse = checkpoint_.has(module_ + kBitmapPart);
    bool packed = sparse || scheme_.bits < 8 || checkpoint_.has(module_ + ".weight_packed");
    TensorView scales = NB_TRY(read_scales());
    scheme_.scale_type = scales.dtype;
    std::vector<uint8_t> zeros;
    if (scheme_.asymmetric()) zeros = NB_TRY(read_zeros());
    TensorView codes =
        sparse   ? NB_TRY(dense_codes(checkpoint_, module_, scheme_, n_, k_, zeros))
        : packed ? NB_TRY(get("weight_packed", DType::kI32, {n_, packed_words(k_, scheme_.bits)}))
                 : NB_TRY(get("weight", DType::kI8, {n_, k_}));
    return QuantizedMatrix(scheme_, n_, k_, std::move(codes), std::move(scales), std::move(zeros),
                           packed ? uint8_t{0} : kSignFlip);
  }

 private:
  std::string where() const {
    return fmt::format("{}: {}", checkpoint_.folder(), in_quotes(module_));
  }

  Result<TensorView> get(const char* part, DType dtype, std::vector<int64_t> shape) const {
    TensorView view = NB_TRY(checkpoint_.get(module_ + "." + part, shape));
    if (view.dtype != dtype)
      return fail("{}: {} is of dtype {}, should be {} for {}", where(), part,
                  dtype_name(view.dtype), dtype_name(dtype), scheme_.name());
    return view;
  }

  // weight_shape repeats what the model's config says; where it is there it must agree.
  Status check_stated_shape() const {
    std::string name = module_ + ".weight_shape";
    if (!checkpoint_.has(name)) return {};
    TensorView view = NB_TRY(get("weight_shape", DType::kI64, {2}));
    int64_t stated[2];
    std::memcpy(stated, view.bytes.data(), sizeof stated);
    if (stated[0] != n_ || stated[1] != k_)
      return fail("{}: weight_shape says {}, should be [{}, {}]", where(), shape_text(stated), n_,
                  k_);
    return {};
  }

  Result<TensorView> read_scales() const {
    TensorView view = NB_TRY(checkpoint_.get(module_ + ".weight_scale"));
    if (!is_float(view.dtype))
      return fail("{}: weight_scale is of dtype {}, should be F16, BF16 or F32", where(),
                  dtype_name(view.dtype));
    int64_t rows = scheme_.group == Scheme::kTensor ? 1 : n_;
    NB_OK(check_grid_shape(view, "weight_scale", rows));
    if (!proper_scales(view)) return improper_scale(view);
    return view;
  }

  // The first scale that is zero, infinite or not a number.
  std::unexpected<Error> improper_scale(const TensorView& view) const {
    int64_t i = 0;
    float scale = 1;
    for (; std::isfinite(scale) && scale != 0; ++i)
      to_float(view.dtype, view.bytes.data() + i * dtype_size(view.dtype), 1, &scale);
    return fail("{}: weight_scale has the value {} in row {}", where(), scale,
                (i - 1) / grid_columns());
  }

  int64_t grid_columns() const { return scheme_.group == Scheme::kTensor ? 1 : scheme_.groups(k_); }

  // (rows, groups); one column may also be stored flat, one value also as a scalar.
  Status check_grid_shape(const TensorView& view, const char* part, int64_t rows) const {
    int64_t columns = grid_columns();
    std::vector<int64_t> full = {rows, columns};
    bool good = view.shape == full || (columns == 1 && view.shape == std::vector{rows}) ||
                (columns == 1 && rows == 1 && view.shape.empty());
    if (!good)
      return fail("{}: {} has shape {}, should be {} for {}", where(), part, shape_text(view.shape),
                  shape_text(full), scheme_.name());
    return {};
  }

  Result<std::vector<uint8_t>> read_zeros() const {
    TensorView view = NB_TRY(checkpoint_.get(module_ + ".weight_zero_point"));
    if (view.dtype == DType::kI32 && scheme_.group != Scheme::kTensor) {
      view = NB_TRY(
          get("weight_zero_point", DType::kI32, {packed_words(n_, scheme_.bits), grid_columns()}));
      return unpack_columns(view.bytes.data(), n_, grid_columns(), scheme_.bits);
    }
    if (view.dtype != DType::kI8)
      return fail("{}: weight_zero_point is of dtype {}, should be {}", where(),
                  dtype_name(view.dtype), has_packed_zeros(scheme_) ? "I32" : "I8");
    bool one = scheme_.group == Scheme::kTensor && view.elements() == 1;
    NB_OK(check_grid_shape(view, "weight_zero_point", one ? 1 : n_));
    std::vector<uint8_t> zeros;
    for (std::byte b : view.bytes) {
      int z = static_cast<int8_t>(b) + scheme_.symmetric_zero();
      if (z < 0 || z > scheme_.max_code())
        return fail("{}: weight_zero_point has the value {}, which {} cannot mean", where(),
                    static_cast<int>(static_cast<int8_t>(b)), scheme_.name());
      zeros.push_back(static_cast<uint8_t>(z));
    }
    if (scheme_.group == Scheme::kTensor) {
      if (std::any_of(zeros.begin(), zeros.end(), [&](uint8_t z) { return z != zeros[0]; }))
        return fail("{}: weight_zero_point differs between rows that share a scale", where());
      zeros.resize(1);
    }
    return zeros;
  }

  const Checkpoint& checkpoint_;
  const std::string& module_;
  Scheme scheme_;
  int64_t n_, k_;
};

}  // namespace

std::vector<NamedTensor> to_compressed_tensors(const std::string& module, const QuantizedMatrix& w,
                                               bool pack) {
  const Scheme& s = w.scheme();
  std::vector<NamedTensor> out;
  if (s.bits == 8 && !pack) {
    out.push_back({module + ".weight", signed_codes(w)});
  } else {
    out.push_back({module + ".weight_packed", packed_codes(w)});
    int64_t shape[2] = {w.rows(), w.cols()};
    auto bytes = std::as_bytes(std::span(shape));
    out.push_back(
        {module + ".weight_shape", own_bytes(DType::kI64, {2}, {bytes.begin(), bytes.end()})});
  }
  TensorView scales = w.scale_view();
  scales.shape = s.group == Scheme::kTensor ? std::vector<int64_t>{1}
                                            : std::vector<int64_t>{w.rows(), w.groups()};
  out.push_back({module + ".weight_scale", std::move(scales)});
  if (s.asymmetric()) out.push_back({module + ".weight_zero_point", zero_view(w, pack)});
  return out;
}

Result<QuantizedMatrix> from_compressed_tensors(const Checkpoint& checkpoint,
                                                const std::string& module, Scheme scheme, int64_t n,
                                                int64_t k) {
  return ModuleReader(checkpoint, module, scheme, n, k).read();
}

}  // namespace nibble
