#include "quant/float_folder.h"

#include <cmath>

#include "formats/safetensors.h"
#include "quant/artifact.h"

namespace nibble {
namespace {

// transformers 5 writes "dtype", earlier ones "torch_dtype"; a model inside another has its own.
void set_type(Json& config, DType type) {
  const char* name = type == DType::kF32 ? "float32" : type == DType::kF16 ? "float16" : "bfloat16";
  bool old = config.contains("torch_dtype");
  if (old) config["torch_dtype"] = name;
  if (!old || config.contains("dtype")) config["dtype"] = name;
}

Json float_config(const Weights& weights, DType type) {
  Json config = weights.checkpoint().config();
  for (const char* key : {"quantization_config", "compression_config"}) config.erase(key);
  set_type(config, type);
  auto inner = config.find("text_config");
  if (inner != config.end() && inner->is_object()) set_type(*inner, type);
  return config;
}

// float16 ends at 65504: what other types hold beyond would come out infinite.
PendingTensor checked(PendingTensor t, const std::string& folder) {
  if (t.dtype != DType::kF16) return t;
  t.load = [load = std::move(t.load), name = t.name, folder]() -> Result<TensorView> {
    TensorView view = NB_TRY(load());
    for (int64_t i = 0; i < view.elements(); ++i) {
      uint16_t h;
      std::memcpy(&h, view.bytes.data() + 2 * i, 2);
      if ((h & 0x7fff) == 0x7c00)
        return fail("{}: {} has values past float16's largest; give --dtype bf16 or f32", folder,
                    in_quotes(name));
    }
    return view;
  };
  return t;
}

}  // namespace

Result<FloatFolderReport> write_float_folder(OutputFolder& out, const Weights& weights,
                                             DType type) {
  const std::string& folder = weights.checkpoint().folder();
  FloatFolderReport report;
  std::vector<PendingTensor> tensors;
  for (PendingTensor& t : NB_TRY(weights.float_tensors(type))) {
    report.bytes += t.bytes();
    report.quantized +=
        t.name.ends_with(".weight") &&
        !weights.form_of(t.name.substr(0, t.name.size() - std::string_view(".weight").size()))
             .empty();
    tensors.push_back(checked(std::move(t), folder));
  }
  NB_OK(write_sharded(out.staging(), std::move(tensors), kShardBytes));
  NB_OK(write_file(out.staging() + "/config.json", float_config(weights, type).dump(2) + "\n"));
  NB_OK(copy_side_files(out, folder));
  NB_OK(Weights::open(out.staging()));  // what we cannot open ourselves is never published
  return report;
}

}  // namespace nibble
