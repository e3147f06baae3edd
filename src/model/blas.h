// The BLAS and LAPACK, on the thread that calls them: who calls them includes this.
#pragma once

#include <cblas.h>
#include <lapacke.h>

namespace nibble {

// Our pool is the only one: a BLAS call runs on the thread that makes it, in an order that does not
// depend on how many there are.
inline const bool kBlasIsSerial = (openblas_set_num_threads(1), true);

}  // namespace nibble
