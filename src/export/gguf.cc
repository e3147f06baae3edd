// GGUF files for llama.cpp, Ollama and their kin.
#include "base/text.h"
#include "export/gguf_draft.h"

namespace nibble {
namespace {

constexpr auto kFlavours = [] {
  std::array<const char*, kGgufMixes.size()> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kGgufMixes[i].name;
  return names;
}();

Result<ExportPlan> plan(const ExportRequest& request) {
  const GgufMix* mix = find_gguf_mix(request.flavour);
  GgufDraft d = NB_TRY(draft_gguf(request.model, mix, request.values, mix));
  NB_OK(check_gguf_names(d.pending(request.model), request.folder()));
  ExportPlan out;
  out.flavour = request.flavour.empty() ? lower_ascii(d.tensors.type_names) : request.flavour;
  out.exact = d.tensors.exact;
  if (out.exact) out.open = std::move(d.tensors.open);
  out.notes = std::move(d.notes);
  if (d.tensors.rounded > 0)
    out.notes.insert(out.notes.begin(),
                     fmt::format("{} linears of blocks are rounded anew.", d.tensors.rounded));
  if (d.tensors.fallbacks > 0)
    out.notes.push_back(
        fmt::format("{} matrices have rows that are no whole blocks of the type and took another.",
                    d.tensors.fallbacks));
  out.draft = std::move(d);
  return out;
}

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  return write_gguf_draft(std::any_cast<const GgufDraft&>(plan.draft), request.model, out.staging(),
                          request.part_bytes);
}

// Of llama.cpp's CPU kernels.
TargetArithmetic arithmetic(const Weights&, const std::string& flavour) {
  if (flavour == "f32" || flavour == "f16" || flavour == "bf16") return {};
  return {Activations::kInt8Block32,
          "inputs rounded to int8 in blocks of 32, of K types 256, as llama.cpp does"};
}

Status check_family(const DecoderConfig& config, const std::string& what) {
  NB_TRY(gguf_architecture(config, what));
  return {};
}

}  // namespace

extern const ExportFormat kExport_gguf = {
    .name = "gguf",
    .summary = "a file for llama.cpp, Ollama and their kin",
    .consumer = "llama.cpp, Ollama",
    .library = "gguf",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .check_family = check_family,
    .arithmetic = arithmetic,
};

}  // namespace nibble
