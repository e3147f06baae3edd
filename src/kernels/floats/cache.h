// One position's key and value into a head's cache.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/floats/lanes.h"

namespace nibble {
namespace {

template <class T>
void store_floats(const HeadCache& c, int64_t position, const float* key, const float* value) {
  int64_t d = c.head_dim, lane = position % kKeyPanel;
  T* keys = static_cast<T*>(c.keys) + (position - lane) * d + lane;
  T* values = static_cast<T*>(c.values) + position * c.value_stride;
  for (int64_t i = 0; i < d; ++i) narrow(key[i], keys[i * kKeyPanel]);
  for (int64_t i = 0; i < d; ++i) narrow(value[i], values[i]);
}

// Symmetric int8 of x: (d), element i to out[i * step]. Returns the scale. Not a number becomes
// -127.
float store_codes(const float* x, int64_t d, int64_t step, int8_t* out) {
  float most = 0;
  for (int64_t i = 0; i < d; ++i) {
    float v = __builtin_fabsf(x[i]);
    most = v > most ? v : most;
  }
  float scale = most / 127 == 0 ? 1 : most / 127;
  for (int64_t i = 0; i < d; ++i) {
    float q = __builtin_rintf(x[i] / scale);
    q = q > -127 ? q : -127;
    out[i * step] = static_cast<int8_t>(q < 127 ? q : 127);
  }
  return scale;
}

void store_kv(const HeadCache& c, int64_t position, const float* key, const float* value) {
  switch (c.type) {
    case KvType::kF32:
      return store_floats<float>(c, position, key, value);
    case KvType::kF16:
      return store_floats<Float16>(c, position, key, value);
    case KvType::kInt8:
      break;
  }
  int64_t d = c.head_dim, lane = position % kKeyPanel;
  int8_t* keys = static_cast<int8_t*>(c.keys) + (position - lane) * d + lane;
  int8_t* values = static_cast<int8_t*>(c.values) + position * c.value_stride;
  c.key_scales[position] = store_codes(key, d, kKeyPanel, keys);
  c.value_scales[position] = store_codes(value, d, 1, values);
}

}  // namespace
}  // namespace nibble
