#include "export/gguf_artifact.h"

#include "base/log.h"
#include "base/text.h"
#include "export/gguf_draft.h"
#include "export/model_card.h"

namespace nibble {
namespace {

Status check(const DecoderConfig& config, const std::string& what) {
  NB_TRY(gguf_architecture(config, what));
  return {};
}

}  // namespace

GgufWriter gguf_writer(const ExportOptions& measuring, ExportReport& report) {
  auto write = [measuring, &report](const Weights& model, const GgufMix* mix, const Json& origin,
                                    const std::string& folder, int64_t part_bytes) -> Result<Json> {
    GgufDraft draft = NB_TRY(draft_gguf(model, nullptr, true, mix));
    draft.metadata.text(kGgufOrigin, origin.dump());
    NB_OK(write_gguf_draft(draft, model, folder, part_bytes));
    std::string flavour = mix ? mix->name : lower_ascii(draft.tensors.type_names);
    report.format = &kExport_gguf;
    report.source_digest = NB_TRY(get_string(origin, "source", "", "nibble.json"));
    report.plan = {.flavour = flavour, .exact = draft.tensors.exact, .notes = draft.notes};
    ExportRequest request{.model = model, .flavour = flavour, .part_bytes = part_bytes};
    NB_OK(read_back_written(request, measuring, folder, report));
    // A text that cannot be measured on shall not cost what was quantized.
    if (Status done = measure_written(request, measuring, folder, report); !done) {
      report.unmeasured = "not measured: " + done.error().message;
      warn("{}", report.unmeasured);
    }
    return describe_artifact(request, report, measuring, origin, folder);
  };
  return {check, write};
}

}  // namespace nibble
