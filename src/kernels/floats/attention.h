// Attention over one head of the cache, block by block: two small matrix products with a softmax in
// between whose maximum and sum run along. Many queries have a block of keys and values made floats
// once for all of them; few read it as it is stored.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/floats/lanes.h"

namespace nibble {
namespace {

constexpr float kMasked = -3e38f;
// Queries that share the loads of keys or values: two registers of sums each of 16, or one of 32.
#if defined(__AVX512F__)
constexpr int kTileRows = 16;
#else
constexpr int kTileRows = 4;
#endif
// So many queries read what is stored; widening it twice costs less than a copy.
constexpr int64_t kDirectRows = 8;

// Panels of keys from `first` on, a multiple of 8. out: (count / 8, head_dim, 8).
template <class T>
const float* float_keys(const HeadCache& c, int64_t first, int64_t count, float* out) {
  int64_t d = c.head_dim;
  const T* from = static_cast<const T*>(c.keys) + first * d;
  if constexpr (sizeof(T) == sizeof(float)) return from;
  for (int64_t key = 0; key < count; key += kKeyPanel) {
    Lanes scale = all(1);
    if constexpr (sizeof(T) == 1) scale = load(c.key_scales + first + key);
    for (int64_t i = 0; i < d; ++i) {
      Lanes v = widen(from + (key * d + i * kKeyPanel));
      if constexpr (sizeof(T) == 1) v *= scale;
      store(out + key * d + i * kKeyPanel, v);
    }
  }
  return out;
}

// Values from `first` on. out: (count, value_stride).
template <class T>
const float* float_values(const HeadCache& c, int64_t first, int64_t count, float* out) {
  int64_t d = c.value_stride;
  const T* from = static_cast<const T*>(c.values) + first * d;
  if constexpr (sizeof(T) == sizeof(float)) return from;
  for (int64_t key = 0; key < count; ++key)
    for (int64_t i = 0; i < d; i += kLanes) {
      Lanes v = widen(from + key * d + i);
      if constexpr (sizeof(T) == 1) v *= c.value_scales[first + key];
      store(out + key * d + i, v);
    }
  return out;
}

// Memory of the next block, asked for line by line while this one is worked on: all at once would
// wait for itself.
struct Ahead {
  const char* at;
  int64_t step;
  void ask() {
    __builtin_prefetch(at, 0, 2);  // into L2: L1 is full of the block at work
    at += step;
  }
};

// s[r] = q[r] . key for R queries and two panels of keys. q: row stride d.
template <int R, class T>
void score_rows(const float* q, int64_t d, const T* keys, int64_t panels, float* s, Ahead ahead) {
  for (int64_t p = 0; p < panels; p += 2) {
    const T* k0 = keys + p * d * kKeyPanel;
    const T* k1 = p + 1 < panels ? k0 + d * kKeyPanel : k0;
    WideLanes sums[R] = {};
    for (int64_t i = 0; i < d; ++i) {
      ahead.ask();
      WideLanes v = join(widen(k0 + i * kKeyPanel), widen(k1 + i * kKeyPanel));
      NIBBLE_UNROLL
      for (int r = 0; r < R; ++r) sums[r] = fma(q[r * d + i], v, sums[r]);
    }
    for (int r = 0; r < R; ++r) {
      store(s + r * kAttentionKeys + p * kKeyPanel, low(sums[r]));
      if (p + 1 < panels) store(s + r * kAttentionKeys + (p + 1) * kKeyPanel, high(sums[r]));
    }
  }
}

// out[r] += p[r] . values for R queries. p: row stride kAttentionKeys; out: row stride d.
template <int R, class T>
void mix_rows(const float* p, int64_t keys, const T* values, int64_t d, float* out, Ahead ahead) {
  for (int64_t i = 0; i < d; i += 2 * kLanes) {
    int64_t j = i + kLanes < d ? i + kLanes : i;
    WideLanes sums[R];
    NIBBLE_UNROLL
    for (int r = 0; r < R; ++r) sums[r] = join(load(out + r * d + i), load(out + r * d + j));
    for (int64_t key = 0; key < keys; ++key) {
      ahead.ask();
      WideLanes v = join(widen(values + key * d + i), widen(values + key * d + j));
      NIBBLE_UNROLL
      for (int r = 0; r < R; ++r) sums[r] = fma(p[r * kAttentionKeys + key], v, sums[r]);
    }
    NIBBLE_UNROLL
    for (int r = 0; r < R; ++r) {
      store(out + r * d + i, low(sums[r]));
      if (j != i) store(out + r * d + j, high(sums[r]));
    }
  }
}

// body.operator()<R>(row) over rows from r on, R at a time, then fewer.
template <int R = kTileRows, class Body>
void for_row_tiles(int64_t rows, const Body& body, int64_t r = 0) {
  for (; r + R <= rows; r += R) body.template operator()<R>(r);
  if constexpr (R > 1) for_row_tiles<(R > 4 ? R / 2 : 1)>(rows, body, r);
}

struct Softmax {
  float most, total;
};

// Scores of `count` keys (padded to whole vectors by masked ones) to weights; `out` (d) is brought
// down to a new maximum.
void soften(float* s, int64_t count, Softmax& state, float* out, int64_t d) {
  Lanes top = all(state.most);
  for (int64_t i = 0; i < count; i += kLanes) top = larger(load(s + i), top);
  float most = largest(top);
  if (most > state.most) {
    float down = exp(all(state.most - most))[0];
    state.total *= down;
    for (int64_t i = 0; i < d; i += kLanes) store(out + i, load(out + i) * down);
    state.most = most;
  }
  Lanes sums = {};
  for (int64_t i = 0; i < count; i += kLanes) {
    Lanes p = exp(load(s + i) - most);
    store(s + i, p);
    sums += p;
  }
  state.total += sum(sums);
}

// Scores of keys [first, first + count) that the query at `position` does not see.
void mask(const AttentionTile& t, int64_t position, int64_t first, int64_t count, float* s) {
  int64_t low = t.window > 0 ? position + 1 - t.window - first : 0, high = position + 1 - first;
  for (int64_t i = 0; i < count && i < low; ++i) s[i] = kMasked;
  for (int64_t i = high > 0 ? high : 0; i < count; ++i) s[i] = kMasked;
}

// What a model does to scores before the softmax.
void shape_scores(const AttentionTile& t, int64_t head, int64_t first, int64_t count, float* s) {
  if (t.softcap > 0)
    for (int64_t i = 0; i < count; i += kLanes)
      store(s + i, tanh(load(s + i) / t.softcap) * t.softcap);
  if (t.bias)
    for (int64_t i = 0; i < count; i += kLanes)
      store(s + i, load(s + i) + load(t.bias + head * t.bias_stride + first + i));
}

// use(keys or values of a block), as they are stored or made floats by `convert`.
template <class T, class Convert, class Use>
void with_block(const void* stored, int64_t rows, const Convert& convert, const Use& use) {
  if constexpr (sizeof(T) > 1)  // int8 has its scales to apply
    if (rows <= kDirectRows) return use(static_cast<const T*>(stored));
  use(convert());
}

template <class T>
void attend_typed(const AttentionTile& t, float* scratch) {
  int64_t rows = t.tokens * t.heads, d = t.cache.head_dim, dv = t.cache.value_stride;
  float* q = scratch;
  float* sums = q + rows * d;
  float* s = sums + rows * dv;
  auto* states = reinterpret_cast<Softmax*>(s + rows * kAttentionKeys);
  float* keys = reinterpret_cast<float*>(states + rows);
  float* values = keys + kAttentionKeys * d;
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = t.q + r / t.heads * t.q_stride + r % t.heads * d;
    for (int64_t i = 0; i < d; ++i) q[r * d + i] = from[i] * t.scale;
    states[r] = {kMasked, 0};
  }
  for (int64_t i = 0; i < rows * dv; ++i) sums[i] = 0;

  int64_t end = t.first + t.tokens, low = t.window > 0 ? t.first + 1 - t.window : 0;
  low = low > 0 ? low / kKeyPanel * kKeyPanel : 0;
  for (int64_t first = low; first < end; first += kAttentionKeys) {
    int64_t count = end - first < kAttentionKeys ? end - first : kAttentionKeys;
    int64_t panels = (count + kKeyPanel - 1) / kKeyPanel, padded = panels * kKeyPanel;
    // Both loops take as many steps as there are numbers in the block, over 16.
    constexpr auto kStep = static_cast<int64_t>(2 * kLanes * sizeof(T));
    const T* stored_keys = static_cast<const T*>(t.cache.keys) + first * d;
    const T* stored_values = static_cast<const T*>(t.cache.values) + first * dv;
    Ahead next_keys{reinterpret_cast<const char*>(stored_keys + count * d), kStep};
    Ahead next_values{reinterpret_cast<const char*>(stored_values + count * dv), kStep};
    with_block<T>(
        stored_keys, rows, [&] { return float_keys<T>(t.cache, first, padded, keys); },
        [&](const auto* k) {
          for_row_tiles(rows, [&]<int R>(int64_t r) {
            score_rows<R>(q + r * d, d, k, panels, s + r * kAttentionKeys, next_keys);
          });
        });
    if (t.softcap > 0 || t.bias)
      for (int64_t r = 0; r < rows; ++r)
        shape_scores(t, r % t.heads, first, padded, s + r * kAttentionKeys);
    for (int64_t r = 0; r < rows; ++r) {
      mask(t, t.first + r / t.heads, first, padded, s + r * kAttentionKeys);
      soften(s + r * kAttentionKeys, padded, states[r], sums + r * dv, dv);
    }
    with_block<T>(
        stored_values, rows, [&] { return float_values<T>(t.cache, first, count, values); },
        [&](const auto* v) {
          for_row_tiles(rows, [&]<int R>(int64_t r) {
            mix_rows<R>(s + r * kAttentionKeys, count, v, dv, sums + r * dv, next_values);
          });
        });
  }
  for (int64_t r = 0; r < rows; ++r) {
    float* to = t.out + r / t.heads * t.stride + r % t.heads * d;
    for (int64_t i = 0; i < d; ++i) to[i] = sums[r * dv + i] / states[r].total;
  }
}

void attend(const AttentionTile& tile, float* scratch) {
  switch (tile.cache.type) {
    case KvType::kF32:
      return attend_typed<float>(tile, scratch);
    case KvType::kF16:
      return attend_typed<Float16>(tile, scratch);
    case KvType::kInt8:
      return attend_typed<int8_t>(tile, scratch);
  }
}

}  // namespace
}  // namespace nibble
