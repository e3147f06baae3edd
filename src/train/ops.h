// Gradients of the float work of a forward pass. Everything is float32 and row-major; sums run in
// an order that does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/block.h"

namespace nibble {

// y = x / rms(x) * weight, rows of n: adds dL/dx to dx and, where there is one, dL/dweight to
// dweight. dx may be dy's own memory only if nothing else is read from it.
void rms_norm_backward(const float* x, std::span<const float> weight, double eps, const float* dy,
                       int64_t rows, float* dx, float* dweight);

// act = silu(gate) * up, all (count): dact becomes dL/dup, dgate is set.
void silu_times_backward(const float* gate, const float* up, int64_t count, float* dact,
                         float* dgate);

// y = x W', W: (n, k). dx (rows, k) = or += dy W.
void input_gradient(const float* dy, int64_t rows, int64_t ldy, const float* w, int64_t n,
                    int64_t k, bool add, float* dx);
// dw (n, k) += dy' x.
void weight_gradient(const float* dy, int64_t rows, int64_t ldy, const float* x, int64_t n,
                     int64_t k, float* dw);

// Causal attention of whole sequences (each slice from position 0), rotation and head norms
// included. dout: (rows, q_dim), the gradient of the attention's output, which is tape.x[kOut].
// dq: (rows, q_dim), dkv: (rows, 2 kv_dim), of the projections as they came. dquery_norm and
// dkey_norm (head_dim) are added to, or null.
void attention_backward(const DecoderConfig& config, const Block& block, const Rope& rope,
                        std::span<const Slice> slices, const BlockTape& tape, const float* dout,
                        float* dq, float* dkv, float* dquery_norm, float* dkey_norm);

}  // namespace nibble
