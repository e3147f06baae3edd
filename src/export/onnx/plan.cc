#include "export/onnx/plan.h"

#include "export/onnx/decoder_graph.h"

namespace nibble {
namespace {

void add_notes(OnnxFlavour flavour, const OnnxForms& forms, const DecoderConfig& c,
               ExportPlan& plan) {
  note_onnx_rounding(forms, plan);
  note_spread(forms, plan);
  auto& notes = plan.notes;
  if (flavour == OnnxFlavour::kDq)
    notes.emplace_back(
        "onnxruntime multiplies such weights by inputs rounded to int8 unless the session option "
        "session.qdq_matmulnbits_accuracy_level is 1.");
  if (flavour == OnnxFlavour::kNbitsInt8)
    notes.emplace_back("Inputs are rounded to int8 where the CPU has kernels for that.");
  if (flavour == OnnxFlavour::kInt8Dynamic || flavour == OnnxFlavour::kInt8Qdq)
    notes.emplace_back(
        "Weights are unsigned bytes with zero points of 128: signed ones saturate in onnxruntime "
        "on CPUs without VNNI.");
  if (c.short_context() > 0)
    notes.push_back(fmt::format(
        "A sequence that grows past {} tokens turns otherwise from there on: its cache must be "
        "computed anew at that point, as transformers does.",
        c.short_context()));
  if (forms.outliers) notes.emplace_back("The float columns of LLM.int8() are left out.");
}

}  // namespace

Result<OnnxForms> sum_forms(
    const ExportRequest& request,
    const std::function<Result<OnnxForm>(const ExportMatrix& m, bool embedding)>& form_of) {
  const Weights& model = request.model;
  OnnxForms out;
  for (const ExportMatrix& m : export_matrices(model)) {
    bool embedding = m.module == embedding_module(model.config());
    OnnxForm form = NB_TRY(form_of(m, embedding));
    out.exact &= form.exact;
    // A tied head multiplies by the same matrix, which it may have in another form.
    if (embedding && model.config().tied_head) out.exact &= NB_TRY(form_of(m, false)).exact;
    out.outliers |= model.checkpoint().has(m.module + ".outlier_columns");
    out.rounded += m.in_block && !form.exact && form.kind != OnnxForm::Kind::kFloats;
    if (!m.scheme && form.kind == OnnxForm::Kind::kFloats && out.spread.empty())
      out.spread = model.form_of(m.module);
  }
  for (const LayerConfig& l : model.config().blocks) out.experts |= l.experts > 0;
  return out;
}

Result<OnnxForms> onnx_forms(const ExportRequest& request, OnnxFlavour flavour) {
  return sum_forms(request, [&](const ExportMatrix& m, bool embedding) {
    return embedding ? onnx_row_form(request.model, flavour, m)
                     : onnx_form(request.model, flavour, m);
  });
}

bool has_integers(const Weights& model) {
  for (const ExportMatrix& m : export_matrices(model))
    if (m.scheme) return true;
  return false;
}

std::string onnx_flavour_name(const ExportRequest& request, const char* of_integers) {
  if (!request.flavour.empty()) return request.flavour;
  return has_integers(request.model) ? of_integers : "f32";
}

void note_onnx_rounding(const OnnxForms& forms, ExportPlan& plan) {
  if (forms.rounded > 0)
    plan.notes.push_back(fmt::format(
        "{} linears of blocks are rounded to 8 bits with a scale for each row.", forms.rounded));
}

void note_spread(const OnnxForms& forms, ExportPlan& plan) {
  if (!forms.spread.empty())
    plan.notes.push_back(fmt::format(
        "Values of {} lie on no grid of integers that the format has: they are written as floats, "
        "each exactly, in many times the bytes; nibble quantize --requantize makes integers first.",
        forms.spread));
}

Result<ExportPlan> plan_onnx(const ExportRequest& request, OnnxFlavour flavour,
                             const std::string& name) {
  ExportPlan out{.flavour = name};
  OnnxForms forms = NB_TRY(onnx_forms(request, flavour));
  bool of_integers = flavour == OnnxFlavour::kNbits || flavour == OnnxFlavour::kNbitsInt8 ||
                     flavour == OnnxFlavour::kDq;
  if (of_integers && !has_integers(request.model))
    return fail("{}, or take f32", why_no_integers(request));
  if (flavour == OnnxFlavour::kInt8Dynamic && forms.experts)
    return fail(
        "{}: int8-dynamic cannot hold a mixture of experts: DynamicQuantizeLinear has no "
        "answer for an expert without tokens; take nbits or dq",
        request.folder());
  // Building it finds what it refuses.
  NB_TRY(onnx_decoder(request.model, flavour));
  out.exact = forms.exact;
  add_notes(flavour, forms, request.model.config(), out);
  return out;
}

}  // namespace nibble
