// What an ONNX folder's weights mean.
#pragma once

#include "export/exported_weights.h"
#include "export/onnx/file.h"
#include "export/onnx/form.h"

namespace nibble {

// Of such a file, or of weights that another container holds under its names; the model is kept.
std::unique_ptr<ExportedWeights> onnx_weights(const Weights& model, OnnxFlavour flavour,
                                              OnnxFile file);

}  // namespace nibble
