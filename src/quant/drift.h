// What earlier blocks' rounding did to a layer's inputs, answered in its weights.
#pragma once

#include <span>
#include <vector>

#include "quant/methods/method.h"

namespace nibble {

// W* = W + alpha W D H^-1, D = sum (x_float - x) x': its output on the quantized model's inputs is
// nearer to the float model's output on its own. alpha < 1: all of it overfits. As they are where
// the statistics hold no drift or H cannot be factorised.
// Source: GPTAQ (arXiv 2504.02692) in the form of QEP (2504.09629); alpha as in GPTQModel's
// gptaq.py.
std::vector<FloatMatrix> shift_for_drift(std::span<const FloatMatrix> matrices,
                                         const InputStatistics& statistics, double damping);

}  // namespace nibble
