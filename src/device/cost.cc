#include "device/cost.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"
#include "model/kv_cache.h"
#include "model/roles.h"
#include "runtime/session.h"
#include "tensor/quantized.h"

namespace nibble {
namespace {

// Code, libraries, tokenizer: `nibble run` on a model of a few megabytes.
constexpr double kRuntimeBytes = 20e6;
constexpr double kFloatBytes = 2;  // of a weight that stays as it is

double stored(const std::optional<Scheme>& scheme, int64_t n, int64_t k) {
  return scheme ? static_cast<double>(QuantizedMatrix::stored_bytes(*scheme, n, k))
                : kFloatBytes * static_cast<double>(n) * static_cast<double>(k);
}

// Keys and values of so many positions of some layers.
double cached(const DecoderConfig& c, int64_t layers, int64_t positions) {
  if (positions == 0) return 0;
  return static_cast<double>(
      KvCache::bytes(layers, c.kv_heads, c.head_dim, positions, KvType::kF16));
}

// Multiply-accumulates a second of a scheme; that of the rated scheme of the nearest width where it
// is not rated itself, as reading goes by bits.
KernelRate rate_of(const DeviceProfile& device, const std::optional<Scheme>& scheme) {
  std::string name = scheme ? scheme->name() : "bf16";
  if (auto at = device.kernels.find(name); at != device.kernels.end()) return at->second;
  int bits = scheme ? scheme->bits : 16;
  KernelRate best;
  int nearest = 1 << 10;
  for (const auto& [other, rate] : device.kernels) {
    auto parsed = Scheme::parse(other);
    int width = parsed ? parsed->bits : 16;
    if (std::abs(width - bits) >= nearest) continue;
    nearest = std::abs(width - bits);
    best = {rate.decode * width / bits, rate.prefill};
  }
  return best;
}

double prefill_chunk_bytes(const DecoderConfig& c) {
  auto rows = static_cast<double>(kPrefillChunk);
  auto widths = static_cast<double>(3 * c.hidden + c.qkv_dim() +
                                    2 * std::max(c.mlp, c.expert_mlp * c.experts_per_token));
  return 4 * (rows * widths + static_cast<double>(c.vocab));
}

}  // namespace

ModelCost cost_of(const DecoderConfig& c, const PlanForm& form, int64_t context) {
  ModelCost out;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) {
      double bytes = stored(form.blocks, s.n, s.k);
      out.weights += bytes;
      if (s.expert >= c.experts_per_token && s.expert >= 0) continue;
      out.read += bytes;
      out.block_macs += static_cast<double>(s.n) * static_cast<double>(s.k);
    }
  double head = stored(form.head, c.vocab, c.embedding_width);
  out.head_macs = static_cast<double>(c.vocab) * static_cast<double>(c.embedding_width);
  out.weights += head + (c.tied_head ? 0 : stored(std::nullopt, c.vocab, c.embedding_width));
  out.read += head;
  for (const VectorSpec& v : norm_vectors(c))
    out.weights += kFloatBytes * static_cast<double>(v.size);
  for (const MatrixSpec& m : other_matrices(c)) out.weights += stored(std::nullopt, m.n, m.k);
  out.cache = cached(c, c.layers, context);
  for (const LayerConfig& layer : c.blocks)
    out.cache_read += cached(c, 1, layer.window > 0 ? std::min(layer.window, context) : context);
  out.activations = prefill_chunk_bytes(c);
  out.runtime = kRuntimeBytes;
  return out;
}

Prediction predict(const DecoderConfig& c, const PlanForm& form, const ModelCost& cost,
                   const DeviceProfile& device, int64_t prompt) {
  auto tokens = static_cast<double>(prompt), layers = static_cast<double>(c.layers);
  double macs = cost.block_macs + cost.head_macs, peak = device.best_peak() / 2;
  double expected = device.expected_bandwidth();
  Prediction out;
  out.decode_floor = std::max(cost.step_read() / device.bandwidth, peak > 0 ? macs / peak : 0);
  if (peak > 0) out.prefill_floor = (tokens * cost.block_macs + cost.head_macs) / peak;
  if (device.kernels.empty()) {
    out.decode = std::max(out.decode_floor, cost.step_read() / expected);
  } else {
    KernelRate blocks = rate_of(device, form.blocks), head = rate_of(device, form.head);
    double head_seconds = cost.head_macs / head.decode;
    // A block's own time holds that of a short cache.
    out.decode = cost.block_macs / blocks.decode + head_seconds +
                 layers * device.block.decode_seconds + cost.cache_read / expected;
    // A prompt is read in chunks; the last row alone passes the head. Each token looks at half of
    // the others on average, for scores and for values.
    double attention = layers * tokens * tokens * static_cast<double>(c.q_dim());
    out.prefill = tokens * cost.block_macs / blocks.prefill + head_seconds +
                  attention / device.block.attention +
                  tokens * layers * static_cast<double>(c.hidden) / device.block.values;
  }
  out.joules = device.watts * out.decode;
  return out;
}

}  // namespace nibble
