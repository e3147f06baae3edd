// Gradients of the float work of a forward pass. Everything is float32 and row-major; sums run in
// an order that does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "model/block.h"

namespace nibble {

// y = norm of x, rows of as many numbers as there are weights: adds dL/dx to dx and, where they are
// not null, dL/dweight to dweight and dL/dbias to dbias.
void norm_backward(const DecoderConfig& config, const float* x, std::span<const float> weight,
                   const float* dy, int64_t rows, float* dx, float* dweight, float* dbias);

// act = f(gate) * up, all (count): dact becomes dL/dup, dgate is set. Without a gate (null)
// act = f(up).
void activation_backward(Activation f, const float* gate, const float* up, int64_t count,
                         float* dact, float* dgate);

// A linear's part in a backward pass: y = x W' + b, W: (n, k); dy: (rows, n), row stride ldy.
struct LinearGradient {
  const float* dy;
  int64_t ldy, n, k;
  const float* w;
  const float* x;  // (rows, k)
  float* dw;       // (n, k), added to; null: not wanted
  float* db;       // (n), the same
};
// dx (rows, k) = the sum of dy W over linears that read the same x.
Pieces input_gradient(std::span<const LinearGradient> linears, int64_t rows, float* dx);
// dw += dy' x, db += the sum of dy's rows.
Pieces weight_gradient(const LinearGradient& linear, int64_t rows);

// Causal attention of whole sequences (each slice from position 0), rotation and head norms
// included. dout: (rows, q_dim), the gradient of the attention's output, which is tape.x[kOut].
// dqkv: (rows, qkv_dim), of the projections as they came. dquery_norm and dkey_norm (head_dim) are
// added to, or null.
void attention_backward(const DecoderConfig& config, const Block& block, const Positions& positions,
                        std::span<const Slice> slices, const BlockTape& tape, const float* dout,
                        float* dqkv, float* dquery_norm, float* dkey_norm);

}  // namespace nibble
