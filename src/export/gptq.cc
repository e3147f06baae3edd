// GPTQ folders, versions 1 and 2 of the checkpoint: 2, 3, 4 and 8 bits, symmetric and asymmetric.
#include "export/gptq_layout.h"
#include "formats/name_pattern.h"

namespace nibble {
namespace {

constexpr const char* kFlavours[] = {"v1", "v2"};
constexpr const char* kV2 = kFlavours[1];
constexpr std::array kWidths = {2, 3, 4, 8};

Status check_shapes(const ExportRequest& request, const IntegerModel& model) {
  for (const auto& [m, layout] : model.modules) {
    if (m.k % 32 != 0)
      return fail("{}: {}: GPTQ packs inputs in 32s, and it has {}", request.folder(), m.module,
                  m.k);
    if (m.n * layout.bits % 32 != 0)
      return fail("{}: {}: {} outputs of {} bits fill no whole words, as GPTQ packs them",
                  request.folder(), m.module, m.n, layout.bits);
  }
  return {};
}

// The commonest; the first of equals.
IntegerLayout base_layout(const IntegerModel& model) {
  std::vector<std::pair<IntegerLayout, int>> counts;
  for (const IntegerModule& m : model.modules) {
    auto it = std::find_if(counts.begin(), counts.end(),
                           [&](const auto& c) { return c.first == m.layout; });
    if (it == counts.end()) it = counts.insert(it, {m.layout, 0});
    ++it->second;
  }
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// transformers 5.23 puts gptqmodel's linears in place of torch's own by their exact type, which
// Falcon's are not (optimum 2.3, get_layers), and then gives GPT-2's the initial values of a weight
// that they do not have (GPT2PreTrainedModel._init_weights).
bool transformers_lacks(const std::string& family) {
  return family == "falcon" || family == "gpt2";
}

void note_loader(const std::string& family, ExportPlan& plan) {
  if (transformers_lacks(family))
    plan.notes.push_back(fmt::format(
        "transformers 5.23 loads no GPTQ of {}; gptqmodel's own GPTQModel.load does.", family));
}

Result<ExportPlan> plan(const ExportRequest& request) {
  IntegerModel model = NB_TRY(integer_model(request, kWidths, /*grids=*/true));
  NB_OK(check_shapes(request, model));
  ExportPlan out{.flavour = request.flavour.empty() ? kFlavours[0] : request.flavour};
  if (model.facts.zero_zero && out.flavour != kV2) {
    out.flavour = kV2;
    out.notes.emplace_back(
        "Written as gptq_v2: some zero points are 0, and version 1 stores them less one.");
  }
  const DecoderConfig& config = request.model.config();
  // gptqmodel 7.7, models/loader.py.
  if (model.asymmetric && out.flavour != kV2) {
    if (request.flavour.empty() &&
        (transformers_lacks(config.model_type) || config.has_experts())) {
      out.flavour = kV2;
      out.notes.emplace_back(
          "Written as gptq_v2: GPTQModel.load takes no asymmetric version 1 but its own.");
    } else {
      out.notes.emplace_back(
          "GPTQModel.load takes no asymmetric version 1 but its own, transformers does; both take "
          "gptq:v2.");
      if (!request.values)
        out.notes.emplace_back("Written as gptq_v2 if one of its zero points is 0.");
    }
  }
  note_integer_losses(model, out);
  note_backend_for_groups(model, "gptq_torch", out);
  note_loader(config.model_type, out);
  note_experts(config, out);
  IntegerLayout base = base_layout(model);
  bool mixed = !model.floats.empty() ||
               std::any_of(model.modules.begin(), model.modules.end(),
                           [&](const IntegerModule& m) { return !(m.layout == base); });
  if (mixed)
    out.notes.emplace_back(
        "Linears differ in bits or groups (\"dynamic\"): gptqmodel and vLLM read that, "
        "transformers' own loader takes one layout for all.");
  return out;
}

// quantization_config. A regular expression "-:..." leaves a module out, "+:..." changes its
// layout.
Json config_of(const IntegerModel& model, bool v2) {
  IntegerLayout base = base_layout(model);
  Json dynamic = Json::object();
  auto pattern = [](const std::string& module) { return exact_pattern(module).substr(3); };
  for (const auto& [m, layout] : model.modules)
    if (!(layout == base))
      dynamic["+:" + pattern(m.module)] = {
          {"bits", layout.bits}, {"group_size", layout.group}, {"sym", layout.symmetric}};
  for (const std::string& name : model.floats) dynamic["-:" + pattern(name)] = Json::object();
  Json q = {{"quant_method", "gptq"},
            {"bits", base.bits},
            {"group_size", base.group},
            {"sym", base.symmetric},
            {"desc_act", false},
            {"lm_head", false},
            {"checkpoint_format", v2 ? "gptq_v2" : "gptq"},
            {"pack_dtype", "int32"},
            {"meta", {{"quantizer", {fmt::format("nibble:{}", NIBBLE_VERSION)}}}}};
  if (!dynamic.empty()) q["dynamic"] = std::move(dynamic);
  return q;
}

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  IntegerModel model = NB_TRY(integer_model(request, kWidths, /*grids=*/false));
  bool v2 = plan.flavour == kV2;
  std::vector<PendingTensor> tensors;
  std::set<std::string> replaced;
  for (const IntegerModule& m : model.modules) {
    int64_t n = m.matrix.n, k = m.matrix.k, bits = m.layout.bits;
    int64_t groups = m.layout.group > 0 ? k / m.layout.group : 1;
    auto add = [&](const char* part, DType type, std::vector<int64_t> shape, auto make) {
      tensors.push_back(integer_tensor(request.model, m, part, type, std::move(shape), make));
    };
    add(".qweight", DType::kI32, {k * bits / 32, n}, gptq_codes);
    add(".qzeros", DType::kI32, {groups, n * bits / 32},
        [v2](const IntegerRows& rows) { return gptq_zeros(rows, v2 ? 0 : 1); });
    add(".scales", DType::kF16, {groups, n}, group_scales);
    add(".g_idx", DType::kI32, {k}, gptq_group_index);
    replaced.insert(m.matrix.module);
  }
  Json config = config_of(model, v2);
  NB_OK(write_file(out.staging() + "/quantize_config.json", config.dump(2) + "\n"));
  return write_hf_folder(request, out, std::move(tensors), replaced, std::move(config));
}

}  // namespace

extern const ExportFormat kExport_gptq = {
    .name = "gptq",
    .summary = "a Hugging Face folder as GPTQModel writes it",
    .consumer = "transformers with gptqmodel, vLLM",
    .library = "transformers",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
};

}  // namespace nibble
