// GGUF as what quantizing itself writes: see GgufWriter.
#pragma once

#include "quant/artifact.h"

namespace nibble {

extern const GgufWriter kGgufWriter;

}  // namespace nibble
