#include "export/activation_ranges.h"

#include <algorithm>

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

}  // namespace nibble
