#include "export/hf_folder.h"

namespace nibble {
namespace {

constexpr int64_t kShardBytes = 5'000'000'000;

// Tensors of a quantized module other than its bias: codes, scales and what goes with them, as
// "MODULE.weight_scale" or "MODULE.weight.absmax".
class ModuleTensors {
 public:
  void add(const std::string& module) { modules_.insert(module); }
  bool hold(const std::string& tensor) const {
    for (size_t dot = tensor.rfind('.'); dot != tensor.npos && dot > 0;
         dot = tensor.rfind('.', dot - 1))
      if (modules_.contains(tensor.substr(0, dot)))
        return tensor.compare(dot, tensor.npos, ".bias") != 0;
    return false;
  }

 private:
  std::set<std::string> modules_;
};

// F16 holds what float16 scales make to one part in 4096; other scales may reach beyond it.
PendingTensor dequantized(const Weights& model, const ExportMatrix& m) {
  DType type = m.scheme->scale_type == DType::kF16 ? DType::kF16 : DType::kF32;
  std::array shape = model.stored_shape(m.n, m.k);
  bool turned = m.in_block && shape[0] != m.n;
  return {m.module + ".weight", type,
          turned ? std::vector<int64_t>{m.k, m.n} : std::vector<int64_t>{m.n, m.k},
          [&model, m, type, turned]() -> Result<TensorView> {
            std::vector<float> w = NB_TRY(model.floats(m.module + ".weight", m.n, m.k));
            if (!turned) return own_floats(type, {m.n, m.k}, w);
            std::vector<float> t(w.size());
            for (int64_t i = 0; i < m.n; ++i)
              for (int64_t j = 0; j < m.k; ++j)
                t[static_cast<size_t>(j * m.n + i)] = w[static_cast<size_t>(i * m.k + j)];
            return own_floats(type, {m.k, m.n}, t);
          }};
}

}  // namespace

std::vector<ExportMatrix> export_matrices(const Weights& model) {
  const DecoderConfig& c = model.config();
  std::vector<ExportMatrix> out;
  auto add = [&](const std::string& module, int64_t n, int64_t k, bool in_block) {
    out.push_back({module, n, k, model.scheme_of(module), in_block});
  };
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) add(spec.module, spec.n, spec.k, true);
  add(embedding_module(c), c.vocab, c.embedding_width, false);
  if (!c.tied_head) add(head_module(c), c.vocab, c.embedding_width, false);
  return out;
}

Status write_hf_folder(const ExportRequest& request, OutputFolder& out,
                       std::vector<PendingTensor> tensors, const std::set<std::string>& replaced,
                       Json quantization) {
  const Weights& model = request.model;
  ModuleTensors gone;
  for (const std::string& module : replaced) gone.add(module);
  for (const ExportMatrix& m : export_matrices(model)) {
    if (!m.scheme || replaced.contains(m.module)) continue;
    gone.add(m.module);
    tensors.push_back(dequantized(model, m));
  }
  for (const NamedTensor& t : model.checkpoint().tensors())
    if (!gone.hold(t.name)) tensors.push_back(pending(t));
  NB_OK(write_sharded(out.staging(), std::move(tensors), kShardBytes));
  Json config = model.checkpoint().config();
  config.erase("quantization_config");
  if (!quantization.is_null()) config["quantization_config"] = std::move(quantization);
  return write_file(out.staging() + "/config.json", config.dump(2) + "\n");
}

}  // namespace nibble
