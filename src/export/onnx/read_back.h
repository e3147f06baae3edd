// What an ONNX folder's weights mean, read from the file and compared with the model.
#pragma once

#include "export/exported_weights.h"
#include "export/onnx/file.h"
#include "export/onnx/form.h"

namespace nibble {

Result<RoundTrip> read_back_onnx(const Weights& model, OnnxFlavour flavour,
                                 const std::string& folder);
// The same of weights that another container holds under the names of such a folder.
Result<RoundTrip> read_back_weights(const Weights& model, OnnxFlavour flavour,
                                    const OnnxFile& file);
// What compare_exported reads of such weights; all three are kept.
std::unique_ptr<ExportedWeights> onnx_weights(const Weights& model, OnnxFlavour flavour,
                                              const OnnxFile& file);

}  // namespace nibble
