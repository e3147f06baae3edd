#include "export/bitsandbytes_layout.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/threads.h"

namespace nibble {
namespace {

// Quantiles of the normal distribution (QLoRA, arXiv 2305.14314), as the package has them.
constexpr std::array<float, 16> kNf4 = {
    -1.f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.f,
};
// Sign, two exponent bits, one of fraction, in the order of the bit patterns; the largest is 1.
constexpr std::array<float, 16> kFp4 = {
    0.f,  0.0625f / 12,  8.f / 12,  12.f / 12,  4.f / 12,  6.f / 12,  2.f / 12,  3.f / 12,
    -0.f, -0.0625f / 12, -8.f / 12, -12.f / 12, -4.f / 12, -6.f / 12, -2.f / 12, -3.f / 12,
};

// Nearest of a table of values; of two equally near ones the smaller.
class Nearest {
 public:
  explicit Nearest(std::span<const float> values) : order_(values.size()) {
    std::iota(order_.begin(), order_.end(), uint8_t{0});
    std::ranges::sort(order_, [&](uint8_t a, uint8_t b) {
      return values[a] != values[b] ? values[a] < values[b] : a < b;
    });
    for (size_t i = 0; i + 1 < order_.size(); ++i)
      bounds_.push_back((values[order_[i]] + values[order_[i + 1]]) / 2);
  }
  uint8_t operator()(float v) const {
    return order_[static_cast<size_t>(std::ranges::lower_bound(bounds_, v) - bounds_.begin())];
  }

 private:
  std::vector<uint8_t> order_;
  std::vector<float> bounds_;
};

std::array<float, 256> make_dynamic_map() {
  constexpr int kExponents = 7;
  std::array<float, 256> map{};
  size_t count = 0;
  for (int e = 0; e < kExponents; ++e) {
    // 2^e means of neighbours on a line from .1 to 1.
    int items = 1 << e;
    auto scale = static_cast<float>(std::pow(10., e - (kExponents - 1)));
    float step = (1.f - 0.1f) / static_cast<float>(items);
    auto point = [&](int i) {
      return i < (items + 1) / 2 ? 0.1f + step * static_cast<float>(i)
                                 : 1.f - step * static_cast<float>(items - i);
    };
    for (int i = 0; i < items; ++i) {
      float mean = scale * ((point(i) + point(i + 1)) / 2);
      map[count++] = mean;
      map[count++] = -mean;
    }
  }
  map[count++] = 0;
  map[count++] = 1;
  std::ranges::sort(map);
  return map;
}

}  // namespace

std::span<const float> bnb_codes(bool nf4) { return nf4 ? kNf4 : kFp4; }

std::span<const float> bnb_dynamic_map() {
  static const std::array<float, 256> kMap = make_dynamic_map();
  return kMap;
}

std::vector<float> block_absmax(std::span<const float> values, int64_t size) {
  std::vector<float> out((values.size() + static_cast<size_t>(size) - 1) /
                         static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) {
    float& most = out[i / static_cast<size_t>(size)];
    most = std::max(most, std::abs(values[i]));
  }
  return out;
}

std::vector<std::byte> bnb_pack(std::span<const float> values, std::span<const float> absmax,
                                bool nf4) {
  static const Nearest kNearest[2] = {Nearest(kFp4), Nearest(kNf4)};
  const Nearest& nearest = kNearest[nf4];
  std::vector<std::byte> out((values.size() + 1) / 2);
  constexpr int64_t kChunk = 1024;  // blocks
  auto blocks = static_cast<int64_t>(absmax.size());
  parallel_for((blocks + kChunk - 1) / kChunk, [&](int64_t c) {
    for (int64_t b = c * kChunk; b < std::min(blocks, (c + 1) * kChunk); ++b) {
      float inverse = 1.f / std::max(absmax[static_cast<size_t>(b)], 1e-38f);
      auto begin = static_cast<size_t>(b * kBnbBlock);
      size_t end = std::min(values.size(), begin + kBnbBlock);
      for (size_t i = begin; i < end; ++i) {
        auto code = static_cast<std::byte>(nearest(std::clamp(values[i] * inverse, -1.f, 1.f)));
        out[i / 2] |= i % 2 == 0 ? code << 4 : code;
      }
    }
  });
  return out;
}

NestedAbsmax nest_absmax(std::span<const float> absmax) {
  static const Nearest kNearest(bnb_dynamic_map());
  NestedAbsmax out;
  double sum = std::accumulate(absmax.begin(), absmax.end(), 0.);
  out.offset = static_cast<float>(sum / static_cast<double>(absmax.size()));
  std::vector<float> rest(absmax.begin(), absmax.end());
  for (float& v : rest) v -= out.offset;
  out.absmax = block_absmax(rest, kBnbNestedBlock);
  out.codes.reserve(rest.size());
  for (size_t i = 0; i < rest.size(); ++i) {
    float most = std::max(out.absmax[i / kBnbNestedBlock], 1e-38f);
    out.codes.push_back(static_cast<std::byte>(kNearest(rest[i] / most)));
  }
  return out;
}

std::vector<std::byte> bnb_rows(std::span<const float> values, std::span<const float> absmax) {
  std::vector<std::byte> out(values.size());
  size_t k = values.size() / absmax.size();
  parallel_for(static_cast<int64_t>(absmax.size()), [&](int64_t r) {
    auto row = static_cast<size_t>(r);
    float most = absmax[row], inverse = most > 0 ? 127.f / most : 0;
    for (size_t i = row * k; i < (row + 1) * k; ++i) {
      float q = std::clamp(std::nearbyintf(values[i] * inverse), -127.f, 127.f);
      out[i] = static_cast<std::byte>(static_cast<int8_t>(q));
    }
  });
  return out;
}

}  // namespace nibble
