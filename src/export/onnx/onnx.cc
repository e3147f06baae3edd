// ONNX models, alone (kExport_onnx) and in the folder that ONNX Runtime GenAI reads.
#include "export/hf_folder.h"
#include "export/onnx/decoder_graph.h"
#include "export/onnx/file.h"
#include "export/onnx/genai_config.h"
#include "export/onnx/read_back.h"
#include "export/onnx/tensorrt.h"

namespace nibble {
namespace {

constexpr const char* kFlavours[] = {"nbits",        "nbits-int8", "dq",
                                     "int8-dynamic", "int8-qdq",   "f32"};
constexpr OnnxFlavour kKinds[] = {OnnxFlavour::kNbits,   OnnxFlavour::kNbitsInt8,
                                  OnnxFlavour::kDq,      OnnxFlavour::kInt8Dynamic,
                                  OnnxFlavour::kInt8Qdq, OnnxFlavour::kF32};
static_assert(std::size(kFlavours) == std::size(kKinds));

OnnxFlavour flavour_of(std::string_view name) {
  size_t i = 0;
  while (kFlavours[i] != name) ++i;
  return kKinds[i];
}

// How the matrices are stored, in sum.
struct Forms {
  int64_t rounded = 0;  // linears of blocks whose integers are made here
  bool exact = true;    // all matrices
  bool experts = false, outliers = false;
};

Result<Forms> forms_of(const ExportRequest& request, OnnxFlavour flavour) {
  const Weights& model = request.model;
  Forms out;
  for (const ExportMatrix& m : export_matrices(model)) {
    bool embedding = m.module == embedding_module(model.config());
    OnnxForm form =
        NB_TRY(embedding ? onnx_row_form(model, flavour, m) : onnx_form(model, flavour, m));
    out.exact &= form.exact;
    out.outliers |= model.checkpoint().has(m.module + ".outlier_columns");
    out.rounded += m.in_block && !form.exact && form.kind != OnnxForm::Kind::kFloats;
  }
  for (const LayerConfig& l : model.config().blocks) out.experts |= l.experts > 0;
  return out;
}

bool has_integers(const Weights& model) {
  for (const ExportMatrix& m : export_matrices(model))
    if (m.scheme) return true;
  return false;
}

// The flavour that was asked for, or the one that holds the integers exactly.
std::string flavour_name(const ExportRequest& request) {
  if (!request.flavour.empty()) return request.flavour;
  return has_integers(request.model) ? "nbits" : "f32";
}

void note_rounding(const Forms& forms, ExportPlan& plan) {
  if (forms.rounded > 0)
    plan.notes.push_back(fmt::format(
        "{} linears of blocks are rounded to 8 bits with a scale for each row.", forms.rounded));
}

void add_notes(OnnxFlavour flavour, const Forms& forms, const DecoderConfig& c, ExportPlan& plan) {
  note_rounding(forms, plan);
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

Result<ExportPlan> plan(const ExportRequest& request) {
  ExportPlan out{.flavour = flavour_name(request)};
  OnnxFlavour flavour = flavour_of(out.flavour);
  Forms forms = NB_TRY(forms_of(request, flavour));
  bool of_integers = flavour == OnnxFlavour::kNbits || flavour == OnnxFlavour::kNbitsInt8 ||
                     flavour == OnnxFlavour::kDq;
  if (of_integers && !has_integers(request.model))
    return fail("{}, or take f32 or int8-dynamic", why_no_integers(request));
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

Status write_graph(const ExportRequest& request, OnnxFlavour flavour, OutputFolder& out) {
  OnnxGraph graph = NB_TRY(onnx_decoder(request.model, flavour));
  NB_OK(write_onnx(out.staging(), graph));
  Json config = request.model.checkpoint().config();
  config.erase("quantization_config");
  return write_file(out.staging() + "/config.json", config.dump(2) + "\n");
}

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  return write_graph(request, flavour_of(plan.flavour), out);
}

constexpr OnnxFlavour kTensorRt = OnnxFlavour::kTensorRt;

Result<ExportPlan> plan_tensorrt(const ExportRequest& request) {
  if (!has_integers(request.model)) return fail("{}", why_no_integers(request));
  Forms forms = NB_TRY(forms_of(request, kTensorRt));
  if (forms.experts)
    return fail("{}: TensorRT has no sum over scattered tokens, which a mixture of experts needs",
                request.folder());
  NB_TRY(onnx_decoder(request.model, kTensorRt));
  ExportPlan out{.flavour = "symmetric", .exact = forms.exact};
  note_rounding(forms, out);
  out.notes.emplace_back(
      "Checked by nibble lint's rules and in onnxruntime; TensorRT itself has not loaded it.");
  return out;
}

Status write_tensorrt(const ExportRequest& request, const ExportPlan&, OutputFolder& out) {
  NB_OK(write_graph(request, kTensorRt, out));
  OnnxFile file = NB_TRY(OnnxFile::open(out.staging()));
  if (std::vector<std::string> bad = tensorrt_problems(file); !bad.empty())
    return fail("{}: TensorRT would refuse it: {}", request.folder(), bad[0]);
  return write_file(out.staging() + "/calibration_ranges.json",
                    NB_TRY(tensorrt_ranges(file)).dump(2) + "\n");
}

Result<RoundTrip> read_back_tensorrt(const ExportRequest& request, const std::string& folder) {
  return read_back_onnx(request.model, kTensorRt, folder);
}

Status write_genai(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  NB_OK(write(request, plan, out));
  Json config = NB_TRY(genai_config(request));
  return write_file(out.staging() + "/genai_config.json", config.dump(4) + "\n");
}

Result<RoundTrip> read_back(const ExportRequest& request, const std::string& folder) {
  return read_back_onnx(request.model, flavour_of(flavour_name(request)), folder);
}

}  // namespace

extern const ExportFormat kExport_onnx = {
    .name = "onnx",
    .summary = "an ONNX decoder with its cache as inputs and outputs",
    .consumer = "onnxruntime, OpenVINO",
    .library = "onnx",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .read_back = read_back,
};

extern const ExportFormat kExport_ort_genai = {
    .name = "ort-genai",
    .summary = "the same with the folder's settings for ONNX Runtime GenAI",
    .consumer = "onnxruntime-genai",
    .library = "onnxruntime-genai",
    .flavours = kFlavours,
    .plan = plan,
    .write = write_genai,
    .read_back = read_back,
};

extern const ExportFormat kExport_tensorrt = {
    .name = "tensorrt",
    .summary = "an ONNX model by TensorRT's rules, and calibration_ranges.json",
    .consumer = "TensorRT",
    .library = "onnx",
    .flavours = {},
    .plan = plan_tensorrt,
    .write = write_tensorrt,
    .read_back = read_back_tensorrt,
};

}  // namespace nibble
