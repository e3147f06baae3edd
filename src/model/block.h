// One transformer block, run stage by stage. run, eval, bench and calibration all come through
// here.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "model/positions.h"
#include "model/weights.h"

namespace nibble {

using BlockLinears = std::array<std::unique_ptr<Linear>, kRoles>;

struct Block {
  int64_t index = 0;  // which layer of the KV cache is its own
  LayerConfig layer;
  std::array<Norm, kNormPlaces> norms;
  BlockLinears linears;
  // Of a mixture of experts: (experts, hidden) that chooses, and each one's gate, up and down.
  std::unique_ptr<Linear> router;
  std::vector<BlockLinears> experts;

  const Norm& norm(NormPlace place) const { return norms[static_cast<size_t>(place)]; }
  Norm& norm(NormPlace place) { return norms[static_cast<size_t>(place)]; }
  const Linear& linear(Role r) const { return *linears[static_cast<size_t>(r)]; }
  const Linear& expert(int64_t e, Role r) const {
    return *experts[static_cast<size_t>(e)][static_cast<size_t>(r)];
  }
  std::unique_ptr<Linear>& slot(const LinearSpec& spec) {
    BlockLinears& of = spec.expert < 0 ? linears : experts[static_cast<size_t>(spec.expert)];
    return of[static_cast<size_t>(spec.role)];
  }
  // body(linear) of every one, in no promised order.
  void each(const std::function<void(const Linear&)>& body) const;
};

Result<Block> load_block(const Weights& weights, int64_t layer, Activations mode,
                         PackedStore* store = nullptr);

// What a backward pass (train/) needs of one block's forward pass.
struct BlockTape {
  std::vector<float> h;       // (rows, hidden): the residual stream as it entered
  std::vector<float> middle;  // the same before the MLP
  std::array<std::vector<float>, kStages.size()> x;  // the input of each stage's linears
  std::vector<float> qkv;                            // as projected: (rows, qkv_dim)
  std::vector<float> gate, up;  // (rows, mlp) before the activation; gate only where there is one
};

// Which tokens pass which expert: expert e takes entries [first[e], first[e + 1]) of the others,
// in the order of their tokens.
struct Routes {
  std::vector<int64_t> first;
  std::vector<int64_t> row;   // of the token
  std::vector<float> weight;  // of what the expert gives
};

// Tokens on their way through the blocks. Between stages it holds only the residual stream and the
// input of the next stage's linears, so many windows can wait while a stage is being quantized.
struct Flow {
  std::vector<Slice> slices;
  int64_t rows = 0;
  std::vector<float> h;  // (rows, hidden): the residual stream
  // (rows, k of the next stage's linears). Before an expert's down: a row for each route.
  std::vector<float> x;
  Routes routes;              // of the block's experts, from its third stage on
  BlockTape* tape = nullptr;  // where to keep what this block computes, or null
  // What a stage computes on the way; kept so that blocks do not allocate and clear it anew.
  std::vector<float> scratch[2];
  LinearInput input;
};

// Fills flow.x with the first stage's input.
void enter_block(const DecoderConfig& config, const Block& block, Flow& flow);
// Runs one stage's linears on flow.x and all up to the next stage's input. After kDown, flow.h is
// the block's output.
void advance(Stage stage, const DecoderConfig& config, const Block& block,
             const Positions& positions, Flow& flow);

// The rows that enter a linear of this spec, (count, spec.k), before its stage: a flow's x (rows,
// k), or, of an expert, those of its tokens, gathered in `gathered` where they do not lie together.
struct InputRows {
  const float* x;
  int64_t count;
};
InputRows input_rows(const float* x, int64_t rows, const Routes& routes, const LinearSpec& spec,
                     std::vector<float>& gathered);

// Where a token's queries, keys and values lie in the (qkv_dim) that its projections gave.
struct QkvLayout {
  int64_t shared = 1;                          // query heads to a head of keys
  int64_t q = 0, k = 0, v = 0;                 // of the first head of keys
  int64_t q_step = 0, k_step = 0, v_step = 0;  // to the next one's
  explicit QkvLayout(const DecoderConfig& config);
};

// Causal attention of the slices' queries over their caches. qkv: (rows, qkv_dim), of which the
// queries are read; out: (rows, heads * head_dim). The new keys and values are already in the
// caches.
void attend(const DecoderConfig& config, const Block& block, const Positions& positions,
            const Flow& flow, const float* qkv, float* out);

}  // namespace nibble
