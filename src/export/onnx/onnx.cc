// ONNX models, alone (kExport_onnx) and in the folder that ONNX Runtime GenAI reads.
#include "export/hf_folder.h"
#include "export/onnx/decoder_graph.h"
#include "export/onnx/file.h"
#include "export/onnx/genai_config.h"
#include "export/onnx/plan.h"
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
constexpr const char* kOpenvinoFlavours[] = {"dq", "nbits", "int8-qdq", "f32"};

OnnxFlavour flavour_of(std::string_view name) {
  size_t i = 0;
  while (kFlavours[i] != name) ++i;
  return kKinds[i];
}

std::string flavour_name(const ExportRequest& request) {
  return onnx_flavour_name(request, "nbits");
}

Result<ExportPlan> plan(const ExportRequest& request) {
  std::string name = flavour_name(request);
  return plan_onnx(request, flavour_of(name), name);
}

using Opened = Result<std::unique_ptr<ExportedWeights>>;

constexpr TargetArithmetic kStaticInputs = {Activations::kInt8Static,
                                            "inputs rounded to int8 with the stored scales"};

TargetArithmetic arithmetic(const Weights&, const std::string& flavour) {
  switch (flavour_of(flavour)) {
    case OnnxFlavour::kNbitsInt8:
      return {Activations::kInt8Block32, "inputs rounded to int8 in blocks of 32"};
    case OnnxFlavour::kInt8Dynamic:
      return {
          Activations::kInt8Token,
          "inputs rounded to int8, a scale for each token (onnxruntime: one for all tokens of a "
          "call)"};
    case OnnxFlavour::kInt8Qdq:
      return kStaticInputs;
    default:
      return {};
  }
}

FixedRanges ranges(const std::string& flavour) {
  return flavour == "int8-qdq" ? FixedRanges::kInputs : FixedRanges::kNone;
}

Status write_graph(const ExportRequest& request, OnnxFlavour flavour, OutputFolder& out) {
  OnnxGraph graph = NB_TRY(onnx_decoder(request.model, flavour));
  NB_OK(write_onnx(out.staging(), graph));
  return write_plain_config(request, out);
}

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  return write_graph(request, flavour_of(plan.flavour), out);
}

constexpr OnnxFlavour kTensorRt = OnnxFlavour::kTensorRt;

Result<ExportPlan> plan_tensorrt(const ExportRequest& request) {
  if (!has_integers(request.model)) return fail("{}", why_no_integers(request));
  OnnxForms forms = NB_TRY(onnx_forms(request, kTensorRt));
  if (forms.experts)
    return fail("{}: TensorRT has no sum over scattered tokens, which a mixture of experts needs",
                request.folder());
  NB_TRY(onnx_decoder(request.model, kTensorRt));
  ExportPlan out{.flavour = "symmetric", .exact = forms.exact};
  note_onnx_rounding(forms, out);
  out.notes.emplace_back(
      "Checked by nibble lint's rules and in onnxruntime; TensorRT itself has not loaded it.");
  out.notes.emplace_back(
      "Where inputs are int8 too, onnxruntime's fused products of signed weights saturate on CPUs "
      "without VNNI; TensorRT's do not.");
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

Opened open_tensorrt(const ExportRequest& request, const std::string& folder) {
  return onnx_weights(request.model, kTensorRt, NB_TRY(OnnxFile::open(folder)));
}

// Its linears take int8 inputs where the model has scales for them.
TargetArithmetic arithmetic_tensorrt(const Weights& model, const std::string&) {
  return has_input_scales(model) ? kStaticInputs : TargetArithmetic{};
}

FixedRanges ranges_tensorrt(const std::string&) { return FixedRanges::kInputsIfGiven; }

Result<ExportPlan> plan_genai(const ExportRequest& request) {
  ExportPlan out = NB_TRY(plan(request));
  if (flavour_of(out.flavour) == OnnxFlavour::kDq)
    out.notes.emplace_back("genai_config.json sets that session option.");
  return out;
}

Status write_genai(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  NB_OK(write(request, plan, out));
  Json config = NB_TRY(genai_config(request));
  return write_file(out.staging() + "/genai_config.json", config.dump(4) + "\n");
}

// OpenVINO takes both forms of integers and runs them alike; dq compiles in a third of the time
// and two thirds of the memory (1.1 B parameters, w4g128, openvino 2026.4).
std::string openvino_flavour(const ExportRequest& request) {
  return onnx_flavour_name(request, "dq");
}

Result<ExportPlan> plan_openvino(const ExportRequest& request) {
  std::string name = openvino_flavour(request);
  ExportPlan out = NB_TRY(plan_onnx(request, flavour_of(name), name));
  if (name != "f32")
    out.notes.emplace_back(
        "OpenVINO may round inputs to int8 unless the property DYNAMIC_QUANTIZATION_GROUP_SIZE is "
        "0, and run in float16 or bfloat16 unless INFERENCE_PRECISION_HINT is f32.");
  return out;
}

Opened open_openvino(const ExportRequest& request, const std::string& folder) {
  return onnx_weights(request.model, flavour_of(openvino_flavour(request)),
                      NB_TRY(OnnxFile::open(folder)));
}

Opened open(const ExportRequest& request, const std::string& folder) {
  return onnx_weights(request.model, flavour_of(flavour_name(request)),
                      NB_TRY(OnnxFile::open(folder)));
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
    .open = open,
    .arithmetic = arithmetic,
    .ranges = ranges,
};

extern const ExportFormat kExport_openvino = {
    .name = "openvino",
    .summary = "the ONNX decoder in the form that OpenVINO takes best",
    .consumer = "OpenVINO",
    .library = "openvino",
    .flavours = kOpenvinoFlavours,
    .plan = plan_openvino,
    .write = write,
    .open = open_openvino,
    .arithmetic = arithmetic,
    .ranges = ranges,
};

extern const ExportFormat kExport_ort_genai = {
    .name = "ort-genai",
    .summary = "the same with the folder's settings for ONNX Runtime GenAI",
    .consumer = "onnxruntime-genai",
    .library = "onnxruntime-genai",
    .flavours = kFlavours,
    .plan = plan_genai,
    .write = write_genai,
    .open = open,
    .arithmetic = arithmetic,
    .ranges = ranges,
};

extern const ExportFormat kExport_tensorrt = {
    .name = "tensorrt",
    .summary = "an ONNX model by TensorRT's rules, and calibration_ranges.json",
    .consumer = "TensorRT",
    .library = "onnx",
    .flavours = {},
    .plan = plan_tensorrt,
    .write = write_tensorrt,
    .open = open_tensorrt,
    .arithmetic = arithmetic_tensorrt,
    .ranges = ranges_tensorrt,
};

}  // namespace nibble
