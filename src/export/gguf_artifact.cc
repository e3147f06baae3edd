#include "export/gguf_artifact.h"

#include "export/gguf_draft.h"
#include "export/modelfile.h"

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
  std::string file =
      NB_TRY(write_gguf_parts(folder, kGgufFile, draft.metadata, draft.pending(model), part_bytes));
  return write_file(folder + "/" + kModelfile, NB_TRY(modelfile(folder, file, model.config())));
}

}  // namespace

const GgufWriter kGgufWriter = {check, write};

}  // namespace nibble
