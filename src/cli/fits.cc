#include "cli/fits.h"

#include <algorithm>

#include "export/export.h"
#include "quant/methods/method.h"
#include "quant/transforms/fold.h"
#include "quant/transforms/rotate.h"

namespace nibble {
namespace {

using Need = InputStatistics::Need;

// Multiples that a form wants of a matrix of n outputs and k inputs; its first word names the
// export. Sources: shared/reference/formats.md 2; each program's own loader.
struct Form {
  const char* name;
  int64_t n_multiple, k_multiple;
  const char* otherwise;
};

constexpr const char* kFloat = "leave them float or take smaller groups; nibble alone reads others";
constexpr const char* kRefused = "one group size must fit all: take a smaller one";
constexpr Form kForms[] = {
    {"compressed-tensors g32", 1, 32, kFloat},
    {"compressed-tensors g64", 1, 64, kFloat},
    {"compressed-tensors g128", 1, 128, kFloat},
    {"gptq g32", 8, 32, kRefused},
    {"gptq g128", 8, 128, kRefused},
    {"awq g32", 8, 32, kRefused},
    {"awq g128", 8, 128, kRefused},
    {"bitsandbytes", 1, 1, ""},
    {"gguf q8_0, q4_0", 1, 32, "they stay F16"},
    {"gguf K-quants", 1, 256, "they take Q8_0, Q5_1, Q5_0 or Q4_0"},
    {"tflite int4-block32", 1, 32, "they take int8"},
};

// Why the export refuses the whole family; empty where it does not.
std::string family_obstacle(const ExportFormat& format, const DecoderConfig& c) {
  if (!format.check_family) return "";
  Status accepted = format.check_family(c, format.name);
  return accepted ? "" : accepted.error().message;
}

std::string family_obstacle(const Form& form, const DecoderConfig& c) {
  std::string_view name = form.name;
  const ExportFormat* format = find_export_format(name.substr(0, name.find(' ')));
  return format ? family_obstacle(*format, c) : "";
}

std::string why_not(const Form& form, const LinearSpec& s) {
  if (s.k % form.k_multiple != 0)
    return fmt::format("{} inputs are no multiple of {}", s.k, form.k_multiple);
  if (s.n % form.n_multiple != 0)
    return fmt::format("{} outputs are no multiple of {}", s.n, form.n_multiple);
  return "";
}

std::string method_note(const DecoderConfig& c, const Method& m) {
  if (m.need != Need::kNothing && c.has_experts())
    return "experts that calibration does not reach are rounded to nearest";
  return "";
}

// Of the first block: a family's blocks have the same linears, but for dense ones among experts.
std::string transform_obstacle(const DecoderConfig& c, const std::string& name) {
  FloatBlock block;
  block.specs = block_linears(c, 0);
  auto biased = [](const LinearSpec& s) { return s.bias; };
  if (name == "rotate") {
    const char* why = rotation_obstacle(c);
    return why ? why : "";
  }
  if (name == "smoothquant" && norm_folds(c, block).empty())
    return "no norm with weights stands before its linears alone";
  if (name == "awq" && all_folds(c, block).empty()) return "no scale can be folded anywhere";
  if (name == "bias-correction" && std::none_of(block.specs.begin(), block.specs.end(), biased))
    return "its linears have no biases";
  return "";
}

}  // namespace

std::vector<Applicable> applicable_methods(const DecoderConfig& config) {
  std::vector<Applicable> out;
  for (const Method& m : known_methods())
    out.push_back({m.name, m.summary, m.need != Need::kNothing, true, method_note(config, m)});
  return out;
}

std::vector<Applicable> applicable_transforms(const DecoderConfig& config) {
  std::vector<Applicable> out;
  for (const Transform& t : known_transforms()) {
    std::string obstacle = transform_obstacle(config, t.name);
    bool applies = obstacle.empty();
    out.push_back({t.name, t.summary, t.need != Need::kNothing, applies, std::move(obstacle)});
  }
  return out;
}

std::vector<Applicable> applicable_exports(const DecoderConfig& config, const Weights* weights) {
  std::vector<Applicable> out;
  for (const ExportFormat* format : export_formats()) {
    Applicable& a = out.emplace_back(
        Applicable{format->name, format->summary, false, true, family_obstacle(*format, config)});
    a.applies = a.note.empty();
    if (!a.applies || !weights) continue;
    auto plan = format->plan({.model = *weights, .flavour = "", .fixed = {}, .values = false});
    a.applies = plan.has_value();
    if (!plan) {
      // The folder was named above.
      const std::string& folder = weights->checkpoint().folder();
      a.note = plan.error().message;
      if (a.note.starts_with(folder + ": ")) a.note.erase(0, folder.size() + 2);
      continue;
    }
    a.note = plan->exact ? "lossless" : "";
    const char* join = " if ";
    for (const std::string& condition : plan->open) {
      a.note += join + condition;
      join = " and ";
    }
    for (const std::string& note : plan->notes) a.note += (a.note.empty() ? "" : "; ") + note;
  }
  return out;
}

std::vector<Fit> fits(const DecoderConfig& config) {
  std::vector<Fit> out;
  for (const Form& form : kForms) {
    Fit& fit =
        out.emplace_back(Fit{form.name, 0, {}, family_obstacle(form, config), form.otherwise});
    for (int64_t layer = 0; layer < config.layers; ++layer)
      for (const LinearSpec& s : block_linears(config, layer)) {
        std::string why = why_not(form, s);
        if (why.empty()) {
          ++fit.linears;
          continue;
        }
        auto same = std::find_if(fit.skipped.begin(), fit.skipped.end(),
                                 [&](const Misfit& m) { return m.why == why; });
        if (same == fit.skipped.end()) same = fit.skipped.insert(same, {why, 0, s.module});
        ++same->linears;
      }
  }
  return out;
}

}  // namespace nibble
