// TorchScript: the decoder of the ONNX export as an archive for torch.jit.load.
#include "export/onnx/decoder_graph.h"
#include "export/onnx/plan.h"
#include "export/onnx/read_back.h"
#include "export/torchscript/archive.h"
#include "formats/pytorch_bin.h"

namespace nibble {
namespace {

constexpr const char* kFile = "model.pt";
constexpr const char* kFlavours[] = {"integers", "f32"};

std::string flavour_name(const ExportRequest& request) {
  return onnx_flavour_name(request, kFlavours[0]);
}
OnnxFlavour flavour_of(const ExportRequest& request) {
  return flavour_name(request) == kFlavours[0] ? OnnxFlavour::kNbits : OnnxFlavour::kF32;
}

Result<ExportPlan> plan(const ExportRequest& request) {
  return plan_onnx(request, flavour_of(request), flavour_name(request));
}

Status write(const ExportRequest& request, const ExportPlan&, OutputFolder& out) {
  OnnxGraph graph = NB_TRY(onnx_decoder(request.model, flavour_of(request)));
  NB_OK(write_torchscript(out.staging() + "/" + kFile, graph));
  return write_plain_config(request, out);
}

std::optional<OnnxType> onnx_type(DType type) {
  switch (type) {
    case DType::kU8:
      return OnnxType::kUint8;
    case DType::kF32:
      return OnnxType::kFloat;
    case DType::kF16:
      return OnnxType::kFloat16;
    case DType::kBF16:
      return OnnxType::kBfloat16;
    default:
      return std::nullopt;
  }
}

Result<std::unique_ptr<ExportedWeights>> open(const ExportRequest& request,
                                              const std::string& folder) {
  std::string path = folder + "/" + kFile;
  std::map<std::string, OnnxTensor> weights;
  for (const NamedTensor& t : NB_TRY(open_pytorch_bin(path)))
    if (auto type = onnx_type(t.view.dtype)) weights[t.name] = {*type, t.view.shape, t.view.bytes};
  OnnxFile file = OnnxFile::of_weights(path, std::move(weights), NB_TRY(MappedFile::open(path)));
  return onnx_weights(request.model, flavour_of(request), std::move(file));
}

}  // namespace

extern const ExportFormat kExport_torchscript = {
    .name = "torchscript",
    .summary = "a decoder with its cache as lists of tensors, for torch.jit.load",
    .consumer = "PyTorch and LibTorch",
    .library = "pytorch",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .open = open,
};

}  // namespace nibble
