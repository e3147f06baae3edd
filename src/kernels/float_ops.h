// The float work of a forward pass around the integer products: what an instruction set gives.
// Plain structs and raw pointers, as table.h. Results may differ between instruction sets in the
// last bits (fused or separate multiply and add), never between runs or thread counts.
#pragma once

#include <cstdint>

namespace nibble {

enum class KvType : uint8_t { kF32, kF16, kInt8 };
// Keys lie in panels of 8 so that a vector holds one dimension of 8 keys and no sum crosses lanes;
// values lie row by row, padded to whole vectors.
inline constexpr int64_t kKeyPanel = 8;

// One head's cache: keys (capacity / 8, head_dim, 8), values (capacity, value_stride), both of
// `type`; int8 ones with a scale for each position.
struct HeadCache {
  KvType type = KvType::kF32;
  void* keys = nullptr;
  void* values = nullptr;
  float* key_scales = nullptr;  // (capacity), kInt8 only
  float* value_scales = nullptr;
  int64_t head_dim = 0, value_stride = 0;
};

// Queries of consecutive tokens, at positions from `first` on, for the `heads` query heads that
// share one head of keys and values. q and out: (tokens, heads, head_dim), token strides `q_stride`
// and `stride`.
struct AttentionTile {
  const float* q = nullptr;
  float* out = nullptr;
  int64_t q_stride = 0, stride = 0, tokens = 0, heads = 0, first = 0;
  int64_t window = 0;  // keys that a query sees, itself included; 0: all before it
  float scale = 1;
  float softcap = 0;            // scores become softcap tanh(score / softcap); 0: they stay
  const float* bias = nullptr;  // added to scores, (heads, position), row stride bias_stride
  int64_t bias_stride = 0;      // positions up to the next multiple of 8
  HeadCache cache;
};

// Keys that are taken at a time.
inline constexpr int64_t kAttentionKeys = 64;
// Floats of scratch that a tile needs.
inline int64_t attention_scratch(const AttentionTile& t) {
  int64_t rows = t.tokens * t.heads, d = t.cache.head_dim, v = t.cache.value_stride;
  return rows * (d + v + kAttentionKeys + 2) + kAttentionKeys * (d + v);
}

// Between the matrices of an MLP. kGelu is x Phi(x), kGeluTanh its approximation by tanh,
// kGeluQuick that by a sigmoid (Hendrycks and Gimpel, arXiv 1606.08415); kRelu2 is relu squared.
enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh, kGeluQuick, kRelu, kRelu2 };

// Weights as stored, row by row.
enum class FloatType : uint8_t { kF32, kF16, kBF16 };
inline constexpr int64_t kDotColumns = 4;

struct FloatOps {
  // y = x / rms(x) * weight. All (n); y may be x.
  void (*rms_norm)(const float* x, int64_t n, const float* weight, double eps, float* y);
  // y = (x - mean) / deviation * weight + bias. All (n); bias may be null, y may be x.
  void (*layer_norm)(const float* x, int64_t n, const float* weight, const float* bias, double eps,
                     float* y);
  // Rotates the pairs (x[i], x[i + half]), or (x[2 i], x[2 i + 1]), i < half.
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t half);
  void (*rotate_neighbors)(float* x, const float* cos, const float* sin, int64_t half);
  // y *= f(gate), and x = f(x). All (n).
  void (*activate_times)(Activation f, const float* gate, int64_t n, float* y);
  void (*activate)(Activation f, int64_t n, float* x);
  // Puts one key and one value, both (head_dim), at `position`.
  void (*store_kv)(const HeadCache& cache, int64_t position, const float* key, const float* value);
  // Causal softmax(q k' scale) v, block by block with a running maximum (FlashAttention, arXiv
  // 2205.14135). The tile's own keys and values are in the cache already.
  void (*attend)(const AttentionTile& tile, float* scratch);
  // y[c][r] = w[r] . x[c]. w: (rows, k) of `type`, any alignment; x: (columns <= 4, k);
  // y: (columns, rows), row stride ldy.
  void (*dot_rows)(FloatType type, const void* w, int64_t rows, int64_t k, const float* x,
                   int64_t columns, float* y, int64_t ldy);
};

// Products of many rows with bfloat16 weights as stored, by instructions that multiply such numbers
// and add in float32. Each activation is cut into three of them, whose sum is all of it: what
// differs from float32's products is the order of the sums, and that subnormal numbers are zero.
inline constexpr int64_t kBf16Parts = 3;
inline constexpr int64_t kBf16Rows = 16, kBf16Columns = 32;
struct Bf16Products {
  // x: (rows <= kBf16Rows, k) to kBf16Parts * kBf16Rows * k numbers, those of missing rows zeros.
  // k is a multiple of kBf16Columns.
  void (*cut)(const float* x, int64_t rows, int64_t k, uint16_t* parts);
  // y[r][i] = w[i] . x[r]. w: (n, k), n a multiple of kBf16Rows, any alignment; parts: what `cut`
  // made of each kBf16Rows rows; y: (rows, n), row stride ldy.
  void (*multiply)(const void* w, int64_t n, int64_t k, const uint16_t* parts, int64_t rows,
                   float* y, int64_t ldy);
};

}  // namespace nibble
