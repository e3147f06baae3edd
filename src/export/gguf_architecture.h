// A decoder's config as GGUF's metadata: what llama.cpp's graph of the architecture needs, and what
// it assumes and therefore must hold.
// Source: ggml-org/llama.cpp, conversion/ (what the converter writes) and src/models/.
#pragma once

#include "formats/gguf_writer.h"
#include "model/gguf/family.h"

namespace nibble {

// Keys under "ARCHITECTURE.".
class GgufKeys {
 public:
  GgufKeys(GgufMetadata& out, std::string architecture)
      : out_(out), prefix_(std::move(architecture) + ".") {}
  void number(const char* key, int64_t value) { out_.number(prefix_ + key, value); }
  void real(const char* key, double value) { out_.real(prefix_ + key, value); }
  void flag(const char* key, bool value) { out_.flag(prefix_ + key, value); }
  void text(const char* key, std::string_view value) { out_.text(prefix_ + key, value); }

 private:
  GgufMetadata& out_;
  std::string prefix_;
};

// A family as llama.cpp's graph computes it.
struct GgufArchitecture {
  const char* model_type;  // in config.json
  Activation activation;   // the graph's; kGelu and kGeluTanh are one there
  // Refuses what the graph cannot do.
  Status (*check)(const DecoderConfig& c) = nullptr;
  // Adds what the common part does not.
  void (*describe)(const DecoderConfig& c, GgufKeys& out) = nullptr;

  const GgufFamily& family() const { return *gguf_family_of(model_type); }
};

// The architecture that llama.cpp has for the model, or why it has none; `what` names the model.
Result<const GgufArchitecture*> gguf_architecture(const DecoderConfig& c, const std::string& what);
// Everything under ARCHITECTURE.
void describe_gguf(const DecoderConfig& c, const GgufArchitecture& a, GgufMetadata& out);

// What llama.cpp computes otherwise than the model, as sentences.
std::vector<std::string> gguf_traps(const DecoderConfig& c);

// rope_freqs.weight: what each frequency of a Llama 3 rotation is divided by; empty for others.
std::vector<float> gguf_rope_factors(const RopeSpec& rope);

}  // namespace nibble
