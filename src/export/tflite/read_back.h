// What a TFLite file's weights mean.
#pragma once

#include "export/exported_weights.h"
#include "export/tflite/form.h"

namespace nibble {

// The model is kept.
Result<std::unique_ptr<ExportedWeights>> open_tflite_weights(const Weights& model,
                                                             TfliteFlavour flavour,
                                                             const std::string& path);

}  // namespace nibble
