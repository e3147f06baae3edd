// The options and presets that recipes know: one row each.
#include <charconv>
#include <cmath>

#include "quant/methods/sparsity.h"
#include "quant/recipe.h"

namespace nibble {
namespace {

template <class T>
using Names = std::span<const std::pair<const char*, T>>;

constexpr std::pair<const char*, DType> kScaleTypes[] = {
    {"f16", DType::kF16}, {"bf16", DType::kBF16}, {"f32", DType::kF32}};
constexpr std::pair<const char*, ColumnOrder> kOrders[] = {{"act", ColumnOrder::kActivation},
                                                           {"gar", ColumnOrder::kGar},
                                                           {"natural", ColumnOrder::kNatural}};

constexpr std::pair<const char*, bool> kSparseFormats[] = {{"dense", false}, {"bitmap", true}};

using What = DistillationPlan::What;
constexpr std::pair<const char*, What> kDistillations[] = {
    {"none", What::kNothing}, {"scales", What::kScales}, {"codes", What::kCodes}};

constexpr std::pair<const char*, RangeRule> kRanges[] = {{"minmax", RangeRule::kMinMax},
                                                         {"percentile", RangeRule::kPercentile},
                                                         {"entropy", RangeRule::kEntropy},
                                                         {"mse", RangeRule::kMse}};

template <class T>
Status set_named(T& out, const std::string& text, Names<T> names) {
  std::string known;
  for (const auto& [name, value] : names) {
    if (text == name) {
      out = value;
      return {};
    }
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  return usage("{} should be one of {}", in_quotes(text), known);
}

template <class T>
Json name_of(T value, Names<T> names) {
  for (const auto& [name, v] : names)
    if (v == value) return name;
  return nullptr;
}

template <class T>
Status set_number(T& out, const std::string& text, T low, T high) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high))
    return usage("{} should be a number from {} to {}", in_quotes(text), low, high);
  out = value;
  return {};
}

// "a,b,c"
std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= text.size();) {
    size_t comma = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

Json joined(const std::vector<std::string>& list) {
  return list.empty() ? Json() : Json(fmt::format("{}", fmt::join(list, ",")));
}

Status set_alpha(double& out, const std::string& text) {
  if (text != "auto") return set_number(out, text, .01, 1.);
  out = 0;
  return {};
}

using S = RecipeSettings;

}  // namespace

std::span<const RecipeOption> recipe_options() {
  static const RecipeOption list[] = {
      {"method", "How codes are chosen, where a rule does not say (default: rtn)",
       [](S& s, const std::string& text) -> Status {
         NB_OK(find_method(text));
         s.default_method = text;
         return {};
       },
       [](const S&) { return Json(); }},
      {"scale-type", "Type of scales: f16, bf16 or f32 (default: f16)",
       [](S& s, const std::string& text) {
         return set_named<DType>(s.scale_type, text, kScaleTypes);
       },
       [](const S& s) { return name_of<DType>(s.scale_type, kScaleTypes); }},
      {"order", "GPTQ's order of columns: act, gar or natural (default: act)",
       [](S& s, const std::string& text) {
         return set_named<ColumnOrder>(s.methods.order, text, kOrders);
       },
       [](const S& s) { return name_of<ColumnOrder>(s.methods.order, kOrders); }},
      {"damping", "GPTQ's damping as a share of the mean diagonal (default: 0.01)",
       [](S& s, const std::string& text) { return set_number(s.methods.damping, text, 0., 1.); },
       [](const S& s) { return Json(s.methods.damping); }},
      {"distill",
       "What learns end to end from the float model after quantizing: codes (with scales and "
       "norms), scales (with norms) or none (default: as the methods say)",
       [](S& s, const std::string& text) {
         return set_named<What>(s.distill.emplace(), text, kDistillations);
       },
       [](const S& s) { return s.distill ? name_of<What>(*s.distill, kDistillations) : Json(); }},
      {"distill-steps", "Steps of that, 4 windows each (default: 12 x the root of --windows)",
       [](S& s, const std::string& text) {
         return set_number<int64_t>(s.distill_steps, text, 0, 1'000'000);
       },
       [](const S& s) { return Json(s.distill_steps); }},
      {"sparsity",
       "What sparsegpt and wanda set to zero: a share, or 2:4 for all but 2 of every 4 columns "
       "(default: 0.5)",
       [](S& s, const std::string& text) -> Status {
         s.methods.sparsity = NB_TRY(parse_sparsity(text));
         return {};
       },
       [](const S& s) { return Json(sparsity_text(s.methods.sparsity)); }},
      {"sparse-format",
       "How sparse matrices are stored: dense codes with exact zeros, which load everywhere, or "
       "bitmap: a bit a "
       "weight and the kept codes, which only nibble reads (default: dense)",
       [](S& s, const std::string& text) {
         return set_named<bool>(s.bitmaps, text, kSparseFormats);
       },
       [](const S& s) { return name_of<bool>(s.bitmaps, kSparseFormats); }},
      {"windows", "Calibration windows (default: 64)",
       [](S& s, const std::string& text) {
         return set_number<int64_t>(s.calibration.windows, text, 1, 1'000'000);
       },
       [](const S& s) { return Json(s.calibration.windows); }},
      {"window-length", "Tokens a window (default: 512)",
       [](S& s, const std::string& text) {
         return set_number<int64_t>(s.calibration.length, text, 2, 1'000'000);
       },
       [](const S& s) { return Json(s.calibration.length); }},
      {"seed", "Where windows begin (default: 0)",
       [](S& s, const std::string& text) {
         return set_number<uint32_t>(s.calibration.seed, text, 0, ~0u);
       },
       [](const S& s) { return Json(s.calibration.seed); }},
      {"transforms", "What is done to the float weights first, with commas between",
       [](S& s, const std::string& text) -> Status {
         s.transforms = split_list(text);
         NB_OK(find_transforms(s.transforms));
         return {};
       },
       [](const S& s) { return joined(s.transforms); }},
      {"alpha",
       "SmoothQuant's share of the outliers that moves into the weights, or auto: searched for "
       "each norm (default: 0.8)",
       [](S& s, const std::string& text) { return set_alpha(s.transform_options.alpha, text); },
       [](const S& s) {
         double alpha = s.transform_options.alpha;
         return s.transforms.empty() ? Json() : alpha > 0 ? Json(alpha) : Json("auto");
       }},
      {"input-ranges",
       "Store scales for --activations int8-static, chosen by minmax, percentile, entropy or mse",
       [](S& s, const std::string& text) {
         return set_named<RangeRule>(s.ranges.emplace(), text, kRanges);
       },
       [](const S& s) { return s.ranges ? name_of<RangeRule>(*s.ranges, kRanges) : Json(); }},
      {"float-inputs", "Linears whose inputs stay float whatever --activations says, as down_proj",
       [](S& s, const std::string& text) -> Status {
         s.float_inputs = split_list(text);
         for (const std::string& name : s.float_inputs)
           if (!is_module_name(name))
             return usage("{} is not the end of a module's name", in_quotes(name));
         return {};
       },
       [](const S& s) { return joined(s.float_inputs); }},
  };
  return list;
}

std::span<const RecipePreset> recipe_presets() {
  static const RecipePreset list[] = {
      {"fast",
       "4.16 bits by gptq, one pass over the calibration text",
       {{"method", "fast", ""}, {"rest", "w4g128-asym", ""}}},
      {"balanced",
       "4.16 bits, polished: all that needs no backward pass",
       {{"method", "balanced", ""}, {"rest", "w4g128-asym", ""}}},
      {"best",
       "4.16 bits, learned end to end",
       {{"method", "best", ""}, {"rest", "w4g128-asym", ""}}},
  };
  return list;
}

}  // namespace nibble
