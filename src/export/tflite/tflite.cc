// TFLite: the decoder with fixed shapes for LiteRT, a signature for a prompt and one for a token.
#include "export/onnx/plan.h"
#include "export/tflite/fixed_frame.h"
#include "export/tflite/lower.h"
#include "export/tflite/matrices.h"
#include "export/tflite/read_back.h"

namespace nibble {
namespace {

constexpr const char* kFile = "model.tflite";
constexpr const char* kFlavours[] = {"dynamic", "int4", "int4-block32", "int8", "uint8", "f32"};
constexpr TfliteFlavour kKinds[] = {TfliteFlavour::kDynamic,    TfliteFlavour::kInt4,
                                    TfliteFlavour::kInt4Blocks, TfliteFlavour::kInt8,
                                    TfliteFlavour::kUint8,      TfliteFlavour::kF32};
static_assert(std::size(kFlavours) == std::size(kKinds));
constexpr int64_t kMostContext = 2048, kPrefill = 128;

TfliteFlavour flavour_of(std::string_view name) {
  size_t i = 0;
  while (kFlavours[i] != name) ++i;
  return kKinds[i];
}

Result<OnnxForms> forms_of(const ExportRequest& request, TfliteFlavour flavour) {
  return sum_forms(request, [&](const ExportMatrix& m, bool embedding) {
    return embedding ? onnx_row_form(request.model, row_flavour(flavour), m)
                     : tflite_form(request.model, flavour, m);
  });
}

// Without a flavour: the narrowest that keeps the integers of all blocks, else the most bits.
Result<std::string> flavour_name(const ExportRequest& request) {
  if (!request.flavour.empty()) return request.flavour;
  if (!has_integers(request.model)) return "f32";
  bool narrow = false;
  for (const ExportMatrix& m : export_matrices(request.model))
    narrow |= m.in_block && m.scheme && m.scheme->bits <= 4;
  for (TfliteFlavour flavour : {TfliteFlavour::kInt4, TfliteFlavour::kInt4Blocks}) {
    Result<OnnxForms> forms = forms_of(request, flavour);
    if (narrow && forms && forms->rounded == 0)
      return flavour == TfliteFlavour::kInt4 ? "int4" : "int4-block32";
  }
  return "dynamic";
}

// The longest usual step that divides a context.
int64_t usual_prefill(int64_t context) {
  int64_t out = std::min(context, kPrefill);
  while (context % out != 0) --out;
  return out;
}

Result<FixedShape> shape_of(const ExportRequest& request) {
  int64_t most = request.model.config().context;
  FixedShape out;
  out.context = request.fixed.context > 0 ? request.fixed.context : std::min(most, kMostContext);
  out.sequence = request.fixed.prefill > 0 ? request.fixed.prefill : usual_prefill(out.context);
  if (out.context > most)
    return fail("{}: a context of {} is more than the model's {}", request.folder(), out.context,
                most);
  if (out.sequence > out.context)
    return fail("{}: a prefill of {} is more than the context of {}", request.folder(),
                out.sequence, out.context);
  // Else the last step of a long prompt would reach beyond the cache.
  if (out.context % out.sequence != 0)
    return usage("--context {}, --prefill {}: the context should be whole steps of the prefill",
                 out.context, out.sequence);
  return out;
}

// ranges: TfliteMatrices'.
Result<OnnxGraph> decoder(const Weights& model, TfliteFlavour flavour, FixedShape shape,
                          const ActivationRanges* ranges) {
  OnnxGraph out;
  FixedFrame frame(model.config(), shape, out);
  TfliteMatrices matrices(model, flavour, ranges, out);
  NB_OK(build_decoder(model, frame, matrices, out));
  return out;
}

// What the scales of integers that are kept must be: above 0, and float16 numbers where they are of
// blocks.
Status check_scales(const ExportRequest& request, TfliteFlavour flavour, ExportPlan& plan) {
  bool rounded = false;
  for (const ExportMatrix& m : export_matrices(request.model)) {
    if (!m.scheme || m.module == embedding_module(request.model.config())) continue;
    OnnxForm form = NB_TRY(tflite_form(request.model, flavour, m));
    if (form.kind == OnnxForm::Kind::kFloats || !form.exact) continue;
    bool halves = form.layout.group > 0;
    if (!request.values) {
      if (halves) open_half_scales(request.model, m.module, plan.open);
      continue;
    }
    QuantizedMatrix w = NB_TRY(request.model.quantized(m.module, m.n, m.k));
    std::string where = request.folder() + ": " + m.module;
    for (int64_t r = 0; r < w.rows(); ++r)
      for (int64_t g = 0; g < w.groups(); ++g)
        if (!(w.grid(r, g).scale > 0))
          return fail(
              "{}: row {} has a scale that is not above 0 (of a full-range scheme?), which "
              "LiteRT refuses; quantize with a symmetric scheme, or take f32",
              where, r);
    if (halves) rounded |= NB_TRY(grid_facts(w, where)).scales_rounded;
  }
  if (rounded) plan.notes.emplace_back("Scales are rounded to float16.");
  plan.exact &= !rounded;
  return {};
}

void add_notes(const ExportRequest& request, TfliteFlavour flavour, FixedShape shape,
               const OnnxForms& forms, ExportPlan& plan) {
  auto& notes = plan.notes;
  if (forms.rounded > 0)
    notes.push_back(fmt::format(
        "{} linears of blocks are rounded to symmetric integers of this flavour.", forms.rounded));
  note_spread(forms, plan);
  notes.push_back(fmt::format(
      "Shapes are fixed: the cache holds {} tokens, signature prefill takes {}, decode one. "
      "A shorter prompt is padded behind its last token; padding is overwritten before it is read.",
      shape.context, shape.sequence));
  if (has_fixed_ranges(flavour))
    notes.emplace_back(
        "Linears of blocks take and give integers of 8 bits with the ranges that calibration saw; "
        "norms, rotations, attention, activation functions, the cache and the head stay float32.");
  else if (flavour != TfliteFlavour::kF32)
    notes.emplace_back("LiteRT rounds the inputs of such linears to int8, a scale for each token.");
  if (forms.experts) notes.emplace_back("Every token passes every expert, for shapes are fixed.");
  for (const RopeSpec& r : request.model.config().ropes)
    if (r.kind == RopeSpec::Kind::kDynamic || r.kind == RopeSpec::Kind::kLongrope) {
      notes.push_back(
          fmt::format("Rotations are those of a sequence of {} tokens, however many "
                      "there are.",
                      shape.context));
      break;
    }
  if (forms.outliers) notes.emplace_back("The float columns of LLM.int8() are left out.");
}

Result<ExportPlan> plan(const ExportRequest& request) {
  std::string name = NB_TRY(flavour_name(request));
  TfliteFlavour flavour = flavour_of(name);
  bool narrow = flavour == TfliteFlavour::kInt4 || flavour == TfliteFlavour::kInt4Blocks;
  if (narrow && !has_integers(request.model))
    return fail("{}, or take f32 or dynamic", why_no_integers(request));
  FixedShape shape = NB_TRY(shape_of(request));
  OnnxForms forms = NB_TRY(forms_of(request, flavour));
  // Building it finds what it refuses.
  NB_TRY(decoder(request.model, flavour, shape, nullptr));
  ExportPlan out{.flavour = name, .exact = forms.exact};
  NB_OK(check_scales(request, flavour, out));
  add_notes(request, flavour, shape, forms, out);
  return out;
}

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  TfliteFlavour flavour = flavour_of(plan.flavour);
  FixedShape shape = NB_TRY(shape_of(request));
  OnnxGraph prefill = NB_TRY(decoder(request.model, flavour, shape, request.ranges));
  OnnxGraph decode = NB_TRY(decoder(request.model, flavour, {1, shape.context}, request.ranges));
  TfliteModel model;
  NB_OK(add_tflite_subgraph(prefill, "prefill", model));
  NB_OK(add_tflite_subgraph(decode, "decode", model));
  NB_OK(model.write(out.staging() + "/" + kFile));
  return write_plain_config(request, out);
}

Result<std::unique_ptr<ExportedWeights>> open(const ExportRequest& request,
                                              const std::string& folder) {
  TfliteFlavour flavour = flavour_of(NB_TRY(flavour_name(request)));
  return open_tflite_weights(request.model, flavour, folder + "/" + kFile);
}

FixedRanges ranges(const std::string& flavour) {
  bool all = !flavour.empty() && has_fixed_ranges(flavour_of(flavour));
  return all ? FixedRanges::kAll : FixedRanges::kNone;
}

TargetArithmetic arithmetic(const Weights&, const std::string& flavour) {
  TfliteFlavour kind = flavour_of(flavour);
  if (kind == TfliteFlavour::kF32) return {};
  if (has_fixed_ranges(kind))
    return {Activations::kInt8Static, "what linears take and give rounded to the file's 8 bits"};
  return {Activations::kInt8Token, "inputs rounded to int8, a scale for each token"};
}

}  // namespace

extern const ExportFormat kExport_tflite = {
    .name = "tflite",
    .summary = "a decoder of fixed shapes, signatures prefill and decode",
    .consumer = "LiteRT (TensorFlow Lite)",
    .library = "litert",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .open = open,
    .arithmetic = arithmetic,
    .ranges = ranges,
    .fixed_shapes = true,
};

}  // namespace nibble
