// compressed-tensors for transformers and vLLM: our artifact's own layout, in the variants that
// these load. pack-quantized: weights alone (W8A16, W4A16); int-quantized: inputs in int8 too
// (W8A8). Source: vllm-project/vllm, compressed_tensors/compressed_tensors.py
// (_is_static_tensor_w8a8, _is_dynamic_token_w8a8, _is_wNa16_group_channel).
#include "formats/compressed_tensors.h"

#include "export/activation_ranges.h"
#include "export/hf_folder.h"
#include "export/integer_layout.h"

namespace nibble {
namespace {

constexpr const char* kFlavours[] = {"pack-quantized", "int-quantized"};
constexpr const char* kPacked = kFlavours[0];
constexpr const char* kRoundedInputs = kFlavours[1];
// Written without a flavour where packed bytes do not load.
constexpr const char* kBytes = "mixed-precision";

struct Layout {
  std::vector<QuantizedModule> modules;
  std::vector<std::pair<int64_t, int64_t>> shapes;
  std::vector<ExportMatrix> matrices;  // the quantized ones
  std::vector<std::string> ignored;    // float linears
};

// With the scales that the model has for them, where it has any.
Activations rounding_of(const Weights& model) {
  return has_input_scales(model) ? Activations::kInt8Static : Activations::kInt8Token;
}

Result<StatedInputs> inputs_of(const Weights& model, const ExportMatrix& m) {
  switch (NB_TRY(model.input_rule(m.module, rounding_of(model))).mode) {
    case Activations::kFloat:
      return StatedInputs::kNone;
    case Activations::kInt8Static:
      return StatedInputs::kStatic;
    default:
      return StatedInputs::kToken;
  }
}

Result<Layout> layout_of(const Weights& model, const std::string& flavour) {
  Layout out;
  for (const ExportMatrix& m : export_matrices(model)) {
    if (m.scheme) {
      StatedInputs inputs{};
      if (flavour == kRoundedInputs) inputs = NB_TRY(inputs_of(model, m));
      out.modules.push_back({m.module, *m.scheme, inputs});
      out.shapes.emplace_back(m.n, m.k);
      out.matrices.push_back(m);
    } else if (m.module != embedding_module(model.config())) {
      out.ignored.push_back(m.module);
    }
  }
  if (model.config().tied_head) out.ignored.push_back(head_module(model.config()));
  return out;
}

// Products of int8 take one scale for all weights of an output.
Status check_rounded_inputs(const ExportRequest& request, const Layout& layout) {
  for (const QuantizedModule& m : layout.modules)
    if (m.scheme.bits != 8 || m.scheme.asymmetric() || m.scheme.group > 0)
      return fail(
          "{}: {} is {}; int-quantized multiplies inputs in int8 by symmetric 8 bits with a scale "
          "a row alone; take compressed-tensors:pack-quantized",
          request.folder(), m.module, m.scheme.name());
  return {};
}

Result<ExportPlan> plan(const ExportRequest& request) {
  Layout layout = NB_TRY(layout_of(request.model, request.flavour));
  if (layout.modules.empty()) return fail("{}", why_no_integers(request));
  ExportPlan out{.flavour = request.flavour, .exact = true, .notes = {}};
  if (out.flavour.empty()) out.flavour = kPacked;
  std::string why = why_only_nibble(layout.modules, layout.shapes, out.flavour == kPacked);
  if (!why.empty() && request.flavour.empty() &&
      why_only_nibble(layout.modules, layout.shapes, false).empty()) {
    out.flavour = kBytes;
    why.clear();
  }
  if (!why.empty()) return fail("{}: compressed-tensors cannot load it: {}", request.folder(), why);
  if (out.flavour == kRoundedInputs) {
    NB_OK(check_rounded_inputs(request, layout));
    out.notes.emplace_back(
        has_input_scales(request.model)
            ? "Inputs are rounded to int8 with the stored scales; pack-quantized leaves them "
              "floats."
            : "Inputs are rounded to int8, a scale for each token; pack-quantized leaves them "
              "floats.");
  }
  for (const QuantizedModule& m : layout.modules)
    if (request.model.checkpoint().has(m.module + ".outlier_columns")) {
      out.notes.push_back("The float columns of LLM.int8() are left out.");
      break;
    }
  return out;
}

TargetArithmetic arithmetic(const Weights& model, const std::string& flavour) {
  if (flavour != kRoundedInputs) return {};
  if (has_input_scales(model))
    return {Activations::kInt8Static, "inputs rounded to int8 with the stored scales"};
  return {Activations::kInt8Token, "inputs rounded to int8, a scale for each token"};
}

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  Layout layout = NB_TRY(layout_of(request.model, plan.flavour));
  std::vector<PendingTensor> tensors;
  std::set<std::string> replaced;
  bool pack = plan.flavour == kPacked;
  for (const QuantizedModule& m : layout.modules)
    if (std::string name = m.module + kInputScale; m.inputs == StatedInputs::kStatic)
      tensors.push_back(pending({name, NB_TRY(request.model.checkpoint().get(name))}));
  for (const ExportMatrix& m : layout.matrices) {
    QuantizedMatrix w = NB_TRY(request.model.quantized(m.module, m.n, m.k));
    for (NamedTensor& t : to_compressed_tensors(m.module, w, pack))
      tensors.push_back(pending(std::move(t)));
    replaced.insert(m.module);
  }
  return write_hf_folder(request, out, std::move(tensors), replaced,
                         compressed_tensors_config(layout.modules, layout.ignored, pack));
}

}  // namespace

extern const ExportFormat kExport_compressed_tensors = {
    .name = "compressed-tensors",
    .summary = "a Hugging Face folder as vLLM's llm-compressor writes it",
    .consumer = "transformers with compressed-tensors, vLLM",
    .library = "transformers",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .arithmetic = arithmetic,
};

}  // namespace nibble
