#include "export/gguf_artifact.h"

#include "export/gguf_draft.h"

namespace nibble {
namespace {

constexpr const char* kOrigin = "nibble.origin";  // as JSON; llama.cpp passes over unknown keys

Status check(const DecoderConfig& config, const std::string& what) {
  NB_TRY(gguf_architecture(config, what));
  return {};
}

Status write(const Weights& model, const GgufMix* mix, const Json& origin,
             const std::string& folder, int64_t part_bytes) {
  GgufDraft draft = NB_TRY(draft_gguf(model, nullptr, true, mix));
  draft.metadata.text(kOrigin, origin.dump());
  return write_gguf_draft(draft, model, folder, part_bytes);
}

}  // namespace

const GgufWriter kGgufWriter = {check, write};

}  // namespace nibble
