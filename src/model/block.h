// One transformer block, run stage by stage. run, eval, bench and calibration all come through
// here.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "model/kv_cache.h"
#include "model/rope.h"
#include "model/weights.h"

namespace nibble {

struct Block {
  int64_t index = 0;  // which layer of the KV cache is its own
  int64_t window = 0;
  std::vector<float> attention_norm, mlp_norm, query_norm, key_norm;
  std::array<std::unique_ptr<Linear>, kRoles> linears;

  const Linear& linear(Role r) const { return *linears[static_cast<size_t>(r)]; }
  std::unique_ptr<Linear>& slot(Role r) { return linears[static_cast<size_t>(r)]; }
};

Result<Block> load_block(const Weights& weights, int64_t layer, Activations mode,
                         PackedStore* store = nullptr);

// `count` consecutive tokens of one sequence, the first at `position`; earlier ones are in its
// cache.
struct Slice {
  KvCache* cache;
  int64_t position, count;
};

// What a backward pass (train/) needs of one block's forward pass.
struct BlockTape {
  std::vector<float> h;       // (rows, hidden): the residual stream as it entered
  std::vector<float> middle;  // the same before the MLP
  std::array<std::vector<float>, kStages.size()> x;  // the input of each stage's linears
  std::vector<float> q, kv;     // as projected: (rows, q_dim), (rows, 2 kv_dim)
  std::vector<float> gate, up;  // (rows, mlp)
};

// Tokens on their way through the blocks. Between stages it holds only the residual stream and the
// input of the next stage's linears, so many windows can wait while a stage is being quantized.
struct Flow {
  std::vector<Slice> slices;
  int64_t rows = 0;
  std::vector<float> h;       // (rows, hidden): the residual stream
  std::vector<float> x;       // (rows, k of the next stage's linears)
  BlockTape* tape = nullptr;  // where to keep what this block computes, or null
  // What a stage computes on the way; kept so that blocks do not allocate and clear it anew.
  std::vector<float> scratch[2];
};

// Fills flow.x with the first stage's input.
void enter_block(const DecoderConfig& config, const Block& block, Flow& flow);
// Runs one stage's linears on flow.x and all up to the next stage's input. After kDown, flow.h is
// the block's output.
void advance(Stage stage, const DecoderConfig& config, const Block& block, const Rope& rope,
             Flow& flow);

// y = x / rms(x) * weight, row by row. x, y: (rows, n), may be the same.
void norm_rows(const DecoderConfig& config, const float* x, int64_t rows, const float* weight,
               float* y);

// Causal attention of the slices' queries over their caches. q, out: (rows, heads * head_dim). The
// new keys and values are already in the caches.
void attend(const DecoderConfig& config, const Block& block, const Flow& flow, const float* q,
            float* out);

}  // namespace nibble
