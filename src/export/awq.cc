// AWQ folders of version "gemm": 4 bits, zero points, one group size for all linears.
#include <algorithm>

#include "export/awq_layout.h"

namespace nibble {
namespace {

constexpr const char* kFlavours[] = {"gemm"};
constexpr std::array kWidths = {4};

// One group for all: where they differ, the smallest, whose scales repeat for the larger ones.
Result<IntegerModel> awq_model(const ExportRequest& request, bool grids) {
  IntegerModel model = NB_TRY(integer_model(request, kWidths, grids));
  int64_t group = -1;
  for (const auto& [m, layout] : model.modules) {
    if (m.n % 8 != 0)
      return fail("{}: {}: AWQ packs outputs in 8s, and it has {}", request.folder(), m.module,
                  m.n);
    if (layout.group > 0) group = group < 0 ? layout.group : std::min(group, layout.group);
  }
  for (auto& [m, layout] : model.modules) {
    layout.group = group;
    if (group > 0 && m.k % group != 0)
      return fail("{}: {}: its {} columns are no whole groups of {}, and AWQ has one group size",
                  request.folder(), m.module, m.k, group);
  }
  return model;
}

Result<ExportPlan> plan(const ExportRequest& request) {
  IntegerModel model = NB_TRY(awq_model(request, /*grids=*/true));
  ExportPlan out{.flavour = kFlavours[0]};
  note_integer_losses(model, out);
  note_backend_for_groups(model, "torch_awq", out);
  note_experts(request.model.config(), out);
  return out;
}

// Activations that loaders divide by scales of their own, of the rows of the linear before them:
// AWQ's search may have moved scales there. Ours has not, and they are ones.
// Source: transformers 5.23, integrations/awq.py, AWQ_SCALES_MAPPINGS.
struct ScaledActivation {
  std::string_view family, linear, activation;
};
constexpr std::array kScaledActivations = {ScaledActivation{"bloom", "dense_h_to_4h", "gelu_impl"},
                                           ScaledActivation{"falcon", "dense_h_to_4h", "act"},
                                           ScaledActivation{"gpt_neox", "dense_h_to_4h", "act"},
                                           ScaledActivation{"gptj", "fc_in", "act"},
                                           ScaledActivation{"mpt", "up_proj", "act"},
                                           ScaledActivation{"starcoder2", "c_fc", "act"}};

void add_activation_scales(const Weights& model, std::vector<PendingTensor>& out) {
  auto scaled =
      std::ranges::find(kScaledActivations, model.config().model_type, &ScaledActivation::family);
  if (scaled == kScaledActivations.end()) return;
  for (const ExportMatrix& m : export_matrices(model)) {
    size_t dot = m.module.rfind('.');
    if (!m.in_block || m.module.substr(dot + 1) != scaled->linear) continue;
    out.push_back({m.module.substr(0, dot + 1) + std::string(scaled->activation) + ".scales",
                   DType::kF16,
                   {m.n},
                   [n = m.n]() -> Result<TensorView> {
                     return own_floats(DType::kF16, {n},
                                       std::vector<float>(static_cast<size_t>(n), 1));
                   }});
  }
}

Json config_of(const IntegerModel& model) {
  Json q = {
      {"quant_method", "awq"}, {"bits", 4},         {"group_size", model.modules[0].layout.group},
      {"zero_point", true},    {"version", "gemm"}, {"modules_to_not_convert", nullptr}};
  if (!model.floats.empty()) q["modules_to_not_convert"] = model.floats;
  return q;
}

Status write(const ExportRequest& request, const ExportPlan&, OutputFolder& out) {
  IntegerModel model = NB_TRY(awq_model(request, /*grids=*/false));
  std::vector<PendingTensor> tensors;
  std::set<std::string> replaced;
  for (const IntegerModule& m : model.modules) {
    int64_t n = m.matrix.n, k = m.matrix.k;
    int64_t groups = m.layout.group > 0 ? k / m.layout.group : 1;
    auto add = [&](const char* part, DType type, std::vector<int64_t> shape, auto make) {
      tensors.push_back(integer_tensor(request.model, m, part, type, std::move(shape), make));
    };
    add(".qweight", DType::kI32, {k, n / 8}, awq_codes);
    add(".qzeros", DType::kI32, {groups, n / 8}, awq_zeros);
    add(".scales", DType::kF16, {groups, n}, group_scales);
    replaced.insert(m.matrix.module);
  }
  add_activation_scales(request.model, tensors);
  return write_hf_folder(request, out, std::move(tensors), replaced, config_of(model));
}

}  // namespace

extern const ExportFormat kExport_awq = {
    .name = "awq",
    .summary = "a Hugging Face folder of 4 bits as AutoAWQ wrote it",
    .consumer = "transformers with gptqmodel, vLLM",
    .library = "transformers",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
};

}  // namespace nibble
