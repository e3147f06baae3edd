// An architecture as GGUF names it: which family of archs.inc it is and how its metadata spell what
// config.json says.
#pragma once

#include "model/archs/arch.h"
#include "model/gguf/fields.h"

namespace nibble {

struct GgufFamily {
  const char* architecture;  // general.architecture
  const char* model_type;    // in config.json
  const char* class_name;    // transformers', for "architectures"
  bool pairs = false;        // its query and key rows lie in pairs (row_order.h)
  // Adds to the config what the common part does not.
  Status (*configure)(const GgufFields& f, Json& config) = nullptr;
};

// The family of a model, or an error that names those that are known.
Result<const GgufFamily*> gguf_family(const GgufFields& f);

// The family of config.json's model_type; null where GGUF has none.
const GgufFamily* gguf_family_of(std::string_view model_type);

// The model's config.json, as parse_config and transformers read it.
Result<Json> gguf_config(const GgufModel& model, const GgufFields& f, const GgufFamily& family);

}  // namespace nibble
