#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"
#include "model/block.h"

namespace nibble {
namespace {

// Query rows (tokens times the heads that share a key) of one tile: enough to pay for making a
// block of keys floats, few enough that their sums stay in cache.
constexpr int64_t kTileRows = 64;

// The tiles of one head of keys and values of one slice.
struct Strand {
  const Slice* slice;
  int64_t row, head, first_tile;
};

}  // namespace

QkvLayout::QkvLayout(const DecoderConfig& c) : shared(c.heads / c.kv_heads) {
  int64_t d = c.head_dim;
  bool grouped = c.qkv == QkvOrder::kGrouped;
  k = grouped ? shared * d : c.q_dim();
  v = grouped ? k + d : k + c.kv_dim();
  q_step = grouped ? (shared + 2) * d : shared * d;
  k_step = v_step = grouped ? q_step : d;
}

void attend(const DecoderConfig& c, const Block& block, const Positions& positions,
            const Flow& flow, const float* qkv, float* out) {
  QkvLayout layout(c);
  int64_t shared = layout.shared, tokens = std::max<int64_t>(1, kTileRows / shared);
  thread_local std::vector<Strand> kept;
  std::vector<Strand>& strands = kept;  // of this thread, for all that work on its tiles
  strands.clear();
  int64_t row = 0, tiles = 0;
  for (const Slice& s : flow.slices) {
    for (int64_t h = 0; h < c.kv_heads; ++h) {
      strands.push_back({&s, row, h, tiles});
      tiles += ceil_div(s.count, tokens);
    }
    row += s.count;
  }
  // Later tokens see more keys: the longest tiles of a strand come first.
  parallel_for(tiles, [&](int64_t job) {
    int64_t number = tiles - 1 - job;
    auto after = std::upper_bound(strands.begin(), strands.end(), number,
                                  [](int64_t n, const Strand& s) { return n < s.first_tile; });
    const Strand& strand = *std::prev(after);
    const Slice& s = *strand.slice;
    int64_t t = (number - strand.first_tile) * tokens, at = strand.row + t;
    AttentionTile tile;
    tile.q = qkv + at * c.qkv_dim() + layout.q + strand.head * layout.q_step;
    tile.out = out + at * c.q_dim() + strand.head * shared * c.head_dim;
    tile.q_stride = c.qkv_dim();
    tile.stride = c.q_dim();
    tile.tokens = std::min(tokens, s.count - t);
    tile.heads = shared;
    tile.first = s.position + t;
    tile.window = block.layer.window;
    tile.scale = static_cast<float>(block.layer.attention_scale);
    tile.softcap = static_cast<float>(c.score_softcap);
    tile.bias = positions.bias(strand.head * shared);
    tile.bias_stride = positions.bias_stride();
    tile.cache = s.cache->head(block.index, strand.head);
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(attention_scratch(tile)));
    float_ops().attend(tile, scratch.data());
  });
}

}  // namespace nibble
