#include <cmath>

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

void attend(const DecoderConfig& c, const Block& block, const Flow& flow, const float* q,
            float* out) {
  int64_t shared = c.heads / c.kv_heads, tokens = std::max<int64_t>(1, kTileRows / shared);
  std::vector<Strand> strands;
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
    int64_t t = (number - strand.first_tile) * tokens;
    int64_t at = (strand.row + t) * c.q_dim() + strand.head * shared * c.head_dim;
    AttentionTile tile;
    tile.q = q + at;
    tile.out = out + at;
    tile.stride = c.q_dim();
    tile.tokens = std::min(tokens, s.count - t);
    tile.heads = shared;
    tile.first = s.position + t;
    tile.window = block.window;
    tile.scale = 1.f / std::sqrt(static_cast<float>(c.head_dim));
    tile.cache = s.cache->head(block.index, strand.head);
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(attention_scratch(tile)));
    float_ops().attend(tile, scratch.data());
  });
}

}  // namespace nibble
