// A family of models: how its config.json spells the decoder's fields. One file a family here, one
// line in archs.inc.
#pragma once

#include <span>
#include <string>

#include "model/config.h"

namespace nibble {

struct Architecture {
  const char* model_type;  // config.json's "model_type"
  const char* summary;     // what the family is, for people
  // Sets what differs from the Llama fields that parse_config has already read.
  Status (*configure)(const Json& config, const std::string& what, DecoderConfig& out);
};

std::span<const Architecture> known_architectures();
// The known model_types, for messages: "llama, mistral, ...".
std::string known_architecture_names();

}  // namespace nibble
