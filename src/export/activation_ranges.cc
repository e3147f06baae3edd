#include "export/activation_ranges.h"

#include <algorithm>

#include "export/model_card.h"
#include "quant/methods/method.h"
#include "quant/recipe.h"
#include "quant/window_flows.h"

namespace nibble {
namespace {

void widen(ActivationRange& range, std::span<const float> values) {
  auto [low, high] = std::ranges::minmax_element(values);
  range.low = std::min(range.low, *low);
  range.high = std::max(range.high, *high);
}

// The linears of one stage, before the windows pass it.
void see_stage(const WindowFlows& windows, Block& block, std::span<const LinearSpec> linears,
               ActivationRanges& out) {
  std::vector<float> gathered, y;
  for (const LinearSpec& spec : linears)
    for (int64_t i = 0; i < windows.count(); ++i) {
      InputRows rows = windows.input(i, spec, gathered);
      if (rows.count == 0) continue;
      LinearRanges& ranges = out[spec.module];
      widen(ranges.input, std::span(rows.x, static_cast<size_t>(rows.count * spec.k)));
      y.resize(static_cast<size_t>(rows.count * spec.n));
      LinearInput input(rows.x, rows.count, spec.k);
      block.slot(spec)->run(input, y.data(), spec.n);
      widen(ranges.output, y);
      windows.rest(i);
    }
}

}  // namespace

Result<ActivationRanges> gather_ranges(const Weights& model, const CalibrationSet& windows) {
  const DecoderConfig& c = model.config();
  Embedding embedding = NB_TRY(model.embedding());
  WindowFlows flows = NB_TRY(WindowFlows::create(c, embedding, windows));
  ActivationRanges out;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    Block block = NB_TRY(load_block(model, layer, Activations::kFloat));
    flows.enter(block);
    for (Stage stage : kStages) {
      std::vector<LinearSpec> linears = block_linears(c, layer);
      std::erase_if(linears, [&](const LinearSpec& s) { return s.stage != stage; });
      see_stage(flows, block, linears, out);
      flows.advance(stage, block);
    }
    flows.leave(block);
  }
  return out;
}

namespace {

// Whether its linears read something else than the float model's.
Result<bool> is_transformed(const Weights& model, const Json& record) {
  if (!record.contains("recipe")) return false;
  std::string path = model.checkpoint().folder() + "/nibble.json";
  Recipe recipe = NB_TRY(Recipe::build(NB_TRY(read_recipe(path))));
  if (!recipe.settings().transforms.empty()) return true;
  Plan plan = NB_TRY(recipe.resolve(model.config()));
  return std::ranges::any_of(plan.choices(), [](const auto& entry) {
    return entry.second.scheme && entry.second.method->transform;
  });
}

Result<StatisticsStore> open_statistics(const Weights& model, const std::string& folder) {
  const std::string& name = model.checkpoint().folder();
  Json record = NB_TRY(source_record(name));
  if (NB_TRY(is_transformed(model, record)))
    return fail("{}: a transform changed what its linears read; give --calibration, not statistics",
                name);
  std::string own = record.contains("source") ? "" : NB_TRY(model.digest());
  return StatisticsStore::open(folder, NB_TRY(get_string(record, "source", own, name)));
}

Result<ActivationRanges> ranges_of_statistics(const Weights& model,
                                              const StatisticsStore& statistics) {
  ActivationRanges out;
  for (int64_t layer = 0; layer < model.config().layers; ++layer)
    for (const LinearSpec& spec : block_linears(model.config(), layer)) {
      if (!NB_TRY(statistics.reached(layer, spec))) continue;
      float largest = NB_TRY(statistics.largest(layer, spec));
      out[spec.module].input = {-largest, largest};
    }
  return out;
}

std::vector<std::string> linears_of_blocks(const DecoderConfig& c) {
  std::vector<std::string> out;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) out.push_back(spec.module);
  return out;
}

auto has_scale(const Weights& model) {
  return
      [&model](const std::string& module) { return model.checkpoint().has(module + kInputScale); };
}

}  // namespace

Result<ActivationRanges> find_ranges(const Weights& model, const RangeOptions& o, Json& origin) {
  if (!o.statistics.empty()) {
    StatisticsStore store = NB_TRY(open_statistics(model, o.statistics));
    origin = store.fingerprint()["calibration"];
    return ranges_of_statistics(model, store);
  }
  CalibrationSet windows =
      NB_TRY(calibration_windows(model.checkpoint().folder(), model, o.calibration));
  origin = {{"source", windows.source}, {"hash", windows.hash}, {"tokens", windows.tokens()}};
  return gather_ranges(model, windows);
}

bool has_input_scales(const Weights& model) {
  return std::ranges::any_of(linears_of_blocks(model.config()), has_scale(model));
}

bool lacks_input_scales(const Weights& model) {
  return !std::ranges::all_of(linears_of_blocks(model.config()), has_scale(model));
}

Result<Weights> with_input_scales(const Weights& model, const ActivationRanges* ranges) {
  constexpr float kLargestCode = 127;
  std::vector<NamedTensor> scales;
  for (const std::string& module : linears_of_blocks(model.config())) {
    if (has_scale(model)(module)) continue;
    float largest = ranges ? 0 : kLargestCode;
    if (ranges) {
      ActivationRange range = NB_TRY(range_of(model, *ranges, module)).input;
      largest = std::max(-range.low, range.high);
    }
    float scale = largest > 0 ? largest / kLargestCode : 1;
    scales.push_back({module + kInputScale, own_floats(DType::kF32, {1}, std::span(&scale, 1))});
  }
  return model.with(std::move(scales));
}

Result<LinearRanges> range_of(const Weights& model, const ActivationRanges& ranges,
                              const std::string& module) {
  auto at = ranges.find(module);
  if (at == ranges.end())
    return fail("{}: {} is of an expert that no token of the calibration reached; give more text",
                model.checkpoint().folder(), module);
  return at->second;
}

}  // namespace nibble
