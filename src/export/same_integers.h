// Two quantized matrices compared without making them floats.
#pragma once

#include "tensor/quantized.h"

namespace nibble {

// a, b: (n, k) both. Whether every column of every row has the same code less its zero point, and
// the same scale, in both, however long their groups are and however their bits lie. Then all
// values are equal; the reverse does not hold.
bool same_integers(const QuantizedMatrix& a, const QuantizedMatrix& b);

}  // namespace nibble
