// GGUF as what quantizing itself writes: see GgufWriter.
#pragma once

#include "export/export.h"
#include "quant/artifact.h"

namespace nibble {

// The key of a file's metadata that says, as JSON, what the file was made from and by which recipe;
// llama.cpp passes over unknown keys.
inline constexpr const char* kGgufOrigin = "nibble.origin";

// `measuring`: an export's options, of which it takes those of measuring and what errors name as
// the output. `report`: of what was written; outlives the writer.
GgufWriter gguf_writer(const ExportOptions& measuring, ExportReport& report);

}  // namespace nibble
