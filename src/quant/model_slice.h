// The first blocks of a model as a model of its own: what a job on it takes tells what the whole
// would.
#pragma once

#include <string>

#include "base/result.h"

namespace nibble {

// Writes such a folder; it must not be there. Files beside config.json and the weights are links to
// the model's. Fails for a model that is no Hugging Face folder, and for a family whose config says
// otherwise how many blocks there are.
Status write_model_slice(const std::string& model, int64_t layers, const std::string& folder);

}  // namespace nibble
