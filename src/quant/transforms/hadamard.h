// Orthogonal matrices that spread any single channel over all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace nibble {

// A Hadamard matrix of order n, (n, n) of 1 and -1, where one is built by doubling (Sylvester) from
// 1, 2 or an order of Paley's two constructions: q + 1 for a prime q = 3 mod 4, 2 (q + 1) for a
// prime q = 1 mod 4. None for other n. Source: Paley, J. Math. Phys. 12 (1933).
std::optional<std::vector<int8_t>> hadamard(int64_t n);

// (n, n) orthogonal, row-major: a Hadamard matrix over sqrt(n) whose rows have random signs
// (QuaRot, arXiv 2404.00456, section 3), or, where there is none, the Q of a random matrix.
std::vector<float> random_rotation(int64_t n, uint32_t seed);

}  // namespace nibble
