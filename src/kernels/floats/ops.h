// The float operations compiled for the instruction set of the file that includes this.
#pragma once

#include "kernels/floats/activations.h"
#include "kernels/floats/attention.h"
#include "kernels/floats/cache.h"
#include "kernels/floats/rows.h"

namespace nibble {
namespace {

constexpr FloatOps kFloatOps = {
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rotate = rotate,
    .rotate_neighbors = rotate_neighbors,
    .activate_times = activate_times,
    .activate = activate,
    .store_kv = store_kv,
    .attend = attend,
    .dot_rows = dot_rows,
};

}  // namespace
}  // namespace nibble
