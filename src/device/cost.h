// What a model in some form asks of a device: bytes to hold, bytes to read and products a token. By
// its config alone.
#pragma once

#include <optional>
#include <string>

#include "device/profile.h"
#include "model/config.h"
#include "tensor/scheme.h"

namespace nibble {

// How a model is stored; nothing: 16-bit floats. A tied head is the embedding's.
struct PlanForm {
  std::optional<Scheme> blocks, head;
};

struct ModelCost {
  // Bytes that are held: weights, the cache of the context at 16 bits a number, working memory of
  // a prefill of 512 tokens, the program itself.
  double weights = 0, cache = 0, activations = 0, runtime = 0;
  double read = 0;  // weights that a decode step reads, bytes; of experts those that a token passes
  double block_macs = 0, head_macs = 0;  // a token
  double held() const { return weights + cache + activations + runtime; }
};
// The config has passed its reader; nothing here is larger than it says.
ModelCost cost_of(const DecoderConfig& config, const PlanForm& form, int64_t context);

// Seconds. A floor is what the bus and the arithmetic peak allow at best; 0: unknown.
struct Prediction {
  double decode_floor = 0, decode = 0;    // of a token, nothing in the cache
  double prefill_floor = 0, prefill = 0;  // of the prompt
};
// `prompt`: tokens. Expectations are of the device's measured kernels where its profile has them;
// else decoding is expected at the profile's share of the bus, and prefill is unknown.
Prediction predict(const DecoderConfig& config, const PlanForm& form, const ModelCost& cost,
                   const DeviceProfile& device, int64_t prompt);

}  // namespace nibble
