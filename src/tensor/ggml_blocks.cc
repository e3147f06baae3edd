#include "tensor/ggml_blocks.h"

#include <cstring>

#include "tensor/dtype.h"

namespace nibble {
namespace {

constexpr int8_t kNonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

uint8_t u8(const std::byte* p) { return static_cast<uint8_t>(*p); }
int8_t i8(const std::byte* p) { return static_cast<int8_t>(*p); }
uint16_t u16(const std::byte* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
uint32_t u32(const std::byte* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
float half(const std::byte* p) { return f16_to_float(u16(p)); }

template <DType kType>
void plain(const std::byte* src, int64_t count, float* out) {
  to_float(kType, src, count, out);
}

// One block after another.
template <int64_t kElements, int64_t kBytes, void (*kBlock)(const std::byte*, float*)>
void blocks(const std::byte* src, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) kBlock(src + i * kBytes, out + i * kElements);
}

// Element j is the low nibble of byte j, element j + 16 the high one.
int nibble_of(const std::byte* qs, int j) {
  return j < 16 ? u8(qs + j) & 15 : u8(qs + j - 16) >> 4;
}

void q4_0(const std::byte* b, float* y) {
  float d = half(b);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(nibble_of(b + 2, j) - 8);
}
void q4_1(const std::byte* b, float* y) {
  float d = half(b), m = half(b + 2);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(nibble_of(b + 4, j)) + m;
}
int five_bits(const std::byte* qs, uint32_t high, int j) {
  return nibble_of(qs, j) | static_cast<int>(high >> j & 1) << 4;
}
void q5_0(const std::byte* b, float* y) {
  float d = half(b);
  uint32_t high = u32(b + 2);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(five_bits(b + 6, high, j) - 16);
}
void q5_1(const std::byte* b, float* y) {
  float d = half(b), m = half(b + 2);
  uint32_t high = u32(b + 4);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(five_bits(b + 8, high, j)) + m;
}
void q8_0(const std::byte* b, float* y) {
  float d = half(b);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(i8(b + 2 + j));
}
void iq4_nl(const std::byte* b, float* y) {
  float d = half(b);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(kNonlinear[nibble_of(b + 2, j)]);
}

// Two bits of element e in 256: halves of 128 share 32 bytes, four shifts each.
int two_bits(const std::byte* qs, int e) {
  return u8(qs + e / 128 * 32 + e % 32) >> (e % 128 / 32 * 2) & 3;
}

void q2_k(const std::byte* b, float* y) {
  const std::byte *scales = b, *qs = b + 16;
  float d = half(b + 80), dmin = half(b + 82);
  for (int e = 0; e < 256; ++e) {
    uint8_t s = u8(scales + e / 16);
    float scale = d * static_cast<float>(s & 15), low = dmin * static_cast<float>(s >> 4);
    y[e] = scale * static_cast<float>(two_bits(qs, e)) - low;
  }
}

void q3_k(const std::byte* b, float* y) {
  const std::byte *mask = b, *qs = b + 32, *scales = b + 96;
  float d = half(b + 108);
  for (int e = 0; e < 256; ++e) {
    int j = e / 16;
    int low = u8(scales + j % 8) >> (j / 8 * 4) & 15,
        high = u8(scales + 8 + j % 4) >> (j / 4 * 2) & 3;
    float scale = d * static_cast<float>((low | high << 4) - 32);
    bool third = u8(mask + e % 32) >> (e / 32) & 1;
    y[e] = scale * static_cast<float>(two_bits(qs, e) - (third ? 0 : 4));
  }
}

// Scale and minimum of sub-block j of Q4_K and Q5_K: 6 bits each in 12 bytes.
struct ScaleMin {
  int scale, low;
};
ScaleMin scale_min(const std::byte* s, int j) {
  if (j < 4) return {u8(s + j) & 63, u8(s + j + 4) & 63};
  return {(u8(s + j + 4) & 15) | u8(s + j - 4) >> 6 << 4, u8(s + j + 4) >> 4 | u8(s + j) >> 6 << 4};
}

// `high`: the fifth bits' 32 bytes, or null.
void k_blocks(const std::byte* b, const std::byte* high, const std::byte* qs, float* y) {
  float d = half(b), dmin = half(b + 2);
  for (int j = 0; j < 8; ++j) {
    ScaleMin sm = scale_min(b + 4, j);
    float scale = d * static_cast<float>(sm.scale), low = dmin * static_cast<float>(sm.low);
    for (int i = 0; i < 32; ++i) {
      int q = u8(qs + j / 2 * 32 + i) >> (j % 2 * 4) & 15;
      if (high) q |= (u8(high + i) >> j & 1) << 4;
      y[j * 32 + i] = scale * static_cast<float>(q) - low;
    }
  }
}
void q4_k(const std::byte* b, float* y) { k_blocks(b, nullptr, b + 16, y); }
void q5_k(const std::byte* b, float* y) { k_blocks(b, b + 16, b + 48, y); }

void q6_k(const std::byte* b, float* y) {
  const std::byte *ql = b, *qh = b + 128, *scales = b + 192;
  float d = half(b + 208);
  for (int e = 0; e < 256; ++e) {
    int part = e / 128, r = e % 128;
    int low = u8(ql + part * 64 + r % 64) >> (r / 64 * 4) & 15;
    int high = u8(qh + part * 32 + r % 32) >> (r / 32 * 2) & 3;
    float scale = d * static_cast<float>(i8(scales + e / 16));
    y[e] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

void iq4_xs(const std::byte* b, float* y) {
  float d = half(b);
  uint16_t high = u16(b + 2);
  for (int j = 0; j < 8; ++j) {
    int low = u8(b + 4 + j / 2) >> (j % 2 * 4) & 15;
    float scale = d * static_cast<float>((low | (high >> (2 * j) & 3) << 4) - 32);
    for (int i = 0; i < 32; ++i)
      y[j * 32 + i] = scale * static_cast<float>(kNonlinear[nibble_of(b + 8 + j * 16, i)]);
  }
}

constexpr GgmlType kTypes[] = {
    {0, "F32", 1, 4, plain<DType::kF32>},
    {1, "F16", 1, 2, plain<DType::kF16>},
    {30, "BF16", 1, 2, plain<DType::kBF16>},
    {2, "Q4_0", 32, 18, blocks<32, 18, q4_0>},
    {3, "Q4_1", 32, 20, blocks<32, 20, q4_1>},
    {6, "Q5_0", 32, 22, blocks<32, 22, q5_0>},
    {7, "Q5_1", 32, 24, blocks<32, 24, q5_1>},
    {8, "Q8_0", 32, 34, blocks<32, 34, q8_0>},
    {10, "Q2_K", 256, 84, blocks<256, 84, q2_k>},
    {11, "Q3_K", 256, 110, blocks<256, 110, q3_k>},
    {12, "Q4_K", 256, 144, blocks<256, 144, q4_k>},
    {13, "Q5_K", 256, 176, blocks<256, 176, q5_k>},
    {14, "Q6_K", 256, 210, blocks<256, 210, q6_k>},
    {20, "IQ4_NL", 32, 18, blocks<32, 18, iq4_nl>},
    {23, "IQ4_XS", 256, 136, blocks<256, 136, iq4_xs>},
};

struct OtherType {
  uint32_t id;
  std::string_view name;
};
constexpr OtherType kOthers[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {24, "I8"},     {25, "I16"},
    {26, "I32"},   {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {34, "TQ1_0"},
    {35, "TQ2_0"}, {39, "MXFP4"}, {40, "NVFP4"},   {41, "Q1_0"},   {42, "Q2_0"},
};

}  // namespace

std::span<const GgmlType> ggml_types() { return kTypes; }

const GgmlType* find_ggml_type(uint32_t id) {
  for (const GgmlType& t : kTypes)
    if (t.id == id) return &t;
  return nullptr;
}

const GgmlType* find_ggml_type(std::string_view name) {
  for (const GgmlType& t : kTypes)
    if (t.name == name) return &t;
  return nullptr;
}

std::span<const int8_t> iq4_values() { return kNonlinear; }

std::string_view ggml_type_name(uint32_t id) {
  if (const GgmlType* t = find_ggml_type(id)) return t->name;
  for (const OtherType& t : kOthers)
    if (t.id == id) return t.name;
  return "";
}

}  // namespace nibble
