// What a TFLite file's weights mean, compared with the model.
#pragma once

#include "export/round_trip.h"
#include "export/tflite/form.h"

namespace nibble {

Result<RoundTrip> read_back_tflite(const Weights& model, TfliteFlavour flavour,
                                   const std::string& path);

}  // namespace nibble
