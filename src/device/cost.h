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
  // Bytes that a decode step reads: weights (of experts those that a token passes), and keys and
  // values where the context is full (of a layer with a window those within it).
  double read = 0, cache_read = 0;
  double block_macs = 0, head_macs = 0;  // a token
  double step_read() const { return read + cache_read; }
  double held() const { return weights + cache + activations + runtime; }
};
// The config has passed its reader; nothing here is larger than it says. A context of 0 tokens is
// an empty cache.
ModelCost cost_of(const DecoderConfig& config, const PlanForm& form, int64_t context);

// Seconds; 0: unknown. A floor is what the bus and the arithmetic peak allow at best.
struct Prediction {
  double decode_floor = 0, decode = 0;    // of a token at the end of the context
  double prefill_floor = 0, prefill = 0;  // of the prompt
  double joules = 0;                      // a token, in the time expected
};
// `prompt`: tokens. Expectations are of the device's measured kernels where its profile has them;
// else decoding is expected at the profile's expected_bandwidth(), and prefill is unknown.
Prediction predict(const DecoderConfig& config, const PlanForm& form, const ModelCost& cost,
                   const DeviceProfile& device, int64_t prompt);

}  // namespace nibble
