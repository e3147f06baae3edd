#include "quant/window_flows.h"

#include <algorithm>

#include "model/decoder.h"

namespace nibble {
namespace {

// Tokens that pass a stage at once: enough that dequantizing a panel is cheap beside multiplying by
// it, few enough that the MLP's scratch of a 1 B model stays near 100 MB.
constexpr int64_t kFlowTokens = 2048;

}  // namespace

WindowFlows::WindowFlows(const DecoderConfig& c, const Embedding& embedding,
                         const CalibrationSet& windows)
    : config_(&c) {
  int64_t longest = 1;
  for (const auto& w : windows.windows) longest = std::max(longest, static_cast<int64_t>(w.size()));
  int64_t per_flow = std::max<int64_t>(1, kFlowTokens / longest);
  for (int64_t i = 0; i < per_flow; ++i)
    caches_.emplace_back(c.layers, c.kv_heads, c.head_dim, longest);
  rope_ = std::make_shared<Rope>(c.rope, c.head_dim, longest);
  std::vector<int32_t> ids;
  Flow flow;
  auto close = [&] {
    embedding.embed(ids, flow.h);
    flow.rows = static_cast<int64_t>(ids.size());
    flows_.push_back(std::move(flow));
    flow = {};
    ids.clear();
  };
  for (const auto& w : windows.windows) {
    flow.slices.push_back({nullptr, 0, static_cast<int64_t>(w.size())});
    ids.insert(ids.end(), w.begin(), w.end());
    if (static_cast<int64_t>(flow.slices.size()) == per_flow) close();
  }
  if (!ids.empty()) close();
}

void WindowFlows::enter(const Block& block) {
  for (Flow& flow : flows_) {
    for (size_t i = 0; i < flow.slices.size(); ++i) flow.slices[i].cache = &caches_[i];
    enter_block(*config_, block, flow);
  }
}

void WindowFlows::restart(const std::vector<std::vector<float>>& h, const Block& block) {
  for (size_t i = 0; i < flows_.size(); ++i) flows_[i].h = h[i];
  enter(block);
}

void WindowFlows::advance(Stage stage, const Block& block) {
  std::vector<float> scratch[2];  // goes from flow to flow: each keeping its own would add up
  for (Flow& flow : flows_) {
    std::swap(flow.scratch, scratch);
    nibble::advance(stage, *config_, block, *rope_, flow);
    std::swap(flow.scratch, scratch);
  }
}

void WindowFlows::leave(const Block& block) {
  for (KvCache& cache : caches_) cache.drop(block.index);
}

}  // namespace nibble
