// What an ONNX folder's weights mean, read from the file and compared with the model.
#pragma once

#include "export/onnx/form.h"
#include "export/round_trip.h"

namespace nibble {

Result<RoundTrip> read_back_onnx(const Weights& model, OnnxFlavour flavour,
                                 const std::string& folder);

}  // namespace nibble
