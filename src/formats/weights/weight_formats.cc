#include "base/panels.h"
#include "formats/weights/weight_format.h"

namespace nibble {

using Made = Result<std::unique_ptr<WeightFormat>>;
// q: the quantization_config; `what` names it in errors.
#define X(name, method) Made make_##name(const Json& q, const std::string& what);
#include "formats/weights/weight_formats.inc"
#undef X

namespace {

struct Form {
  const char* method;
  Made (*make)(const Json& q, const std::string& what);
};
constexpr Form kForms[] = {
#define X(name, method) {method, make_##name},
#include "formats/weights/weight_formats.inc"
#undef X
};

// What config.json lacked in earlier days, as it says it now.
struct SideConfig {
  const char *file, *method;
};
constexpr SideConfig kSideConfigs[] = {{"quantize_config.json", "gptq"},
                                       {"quant_config.json", "awq"},
                                       {"hf_quant_config.json", "modelopt"}};

struct Found {
  Json config;
  std::string where;
};
Result<std::optional<Found>> find_config(const Json& config, const std::string& folder) {
  auto q = config.is_object() ? config.find("quantization_config") : config.end();
  if (q != config.end() && !q->is_null())
    return Found{*q, folder + "/config.json quantization_config"};
  for (const SideConfig& side : kSideConfigs) {
    std::string path = folder + "/" + side.file;
    if (!path_exists(path)) continue;
    Json found = NB_TRY(read_json(path));
    if (found.is_object() && !found.contains("quant_method")) found["quant_method"] = side.method;
    return Found{std::move(found), path};
  }
  return std::nullopt;
}

}  // namespace

Made weight_format_of(const Json& config, const std::string& folder) {
  auto found = NB_TRY(find_config(config, folder));
  if (!found) return nullptr;
  const auto& [q, where] = *found;
  std::string method = NB_TRY(get_string(q, "quant_method", {}, where));
  std::string known;
  for (const Form& form : kForms) {
    if (method == form.method) return form.make(q, where);
    known += (known.empty() ? "" : ", ") + std::string(form.method);
  }
  return fail("{}: quant_method {} is not read; known: {}", where, in_quotes(method), known);
}

std::string WeightFormat::name_of(const Checkpoint& checkpoint, const std::string& module) const {
  auto scheme = scheme_of(checkpoint, module);
  return scheme ? scheme->name() : "";
}

DType WeightFormat::float_type(const Checkpoint&, const std::string&) const { return DType::kF32; }

std::string_view WeightFormat::module_of(std::string_view tensor) const {
  size_t at = tensor.find(".weight");
  return tensor.substr(0, at == tensor.npos ? tensor.rfind('.') : at);
}

Result<QuantizedMatrix> WeightFormat::quantized(const Checkpoint& checkpoint,
                                                const std::string& module, int64_t, int64_t) const {
  return fail("{}: the values of {} are no integers times a scale", checkpoint.folder(),
              in_quotes(module));
}

Result<TensorView> WeightFormat::floats(const Checkpoint& checkpoint, const std::string& module,
                                        int64_t n, int64_t k) const {
  QuantizedMatrix w = NB_TRY(quantized(checkpoint, module, n, k));
  auto values = std::make_shared_for_overwrite<float[]>(static_cast<size_t>(n * k));
  each_panel(n, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) w.dequantize(i, values.get() + i * k);
  });
  auto bytes = std::as_bytes(std::span(values.get(), static_cast<size_t>(n * k)));
  return TensorView{DType::kF32, {n, k}, bytes, values, nullptr};
}

}  // namespace nibble
