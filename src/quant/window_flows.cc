#include "quant/window_flows.h"

#include <algorithm>

#include "base/checked.h"
#include "model/decoder.h"

namespace nibble {
namespace {

// Tokens that pass a stage at once: enough that dequantizing a panel is cheap beside multiplying by
// it, few enough that the MLP's scratch of a 1 B model stays near 100 MB.
constexpr int64_t kFlowTokens = 2048;

int64_t windows_a_flow(int64_t length) { return std::max<int64_t>(1, kFlowTokens / length); }

int64_t widest(const DecoderConfig& c) {
  return std::max({c.hidden, c.q_dim(), c.mlp, c.experts_per_token * c.expert_mlp});
}

// What a token takes on the shelf: h, x, and h again.
int64_t shelf_floats(const DecoderConfig& c, bool restarts) {
  return c.hidden * (restarts ? 2 : 1) + widest(c);
}

}  // namespace

Result<WindowFlows> WindowFlows::create(const DecoderConfig& c, const Embedding& embedding,
                                        const CalibrationSet& windows, const WindowShelf& shelf) {
  WindowFlows out;
  out.config_ = &c;
  out.hidden_ = out.x_at_ = c.hidden;
  out.start_at_ = c.hidden + widest(c);
  out.restarts_ = shelf.restarts;
  int64_t longest = 1;
  for (const auto& w : windows.windows) longest = std::max(longest, static_cast<int64_t>(w.size()));
  out.positions_ = std::make_shared<Positions>(c, longest);
  auto per_flow = static_cast<size_t>(windows_a_flow(longest));
  for (size_t i = 0; i < per_flow; ++i)
    out.caches_.emplace_back(c.layers, c.kv_heads, c.head_dim, longest);
  out.row_floats_ = shelf_floats(c, shelf.restarts);
  out.shelf_ = NB_TRY(ScratchMemory::create(windows.tokens() * out.row_floats_, shelf.folder));
  Flow flow;
  for (size_t at = 0; at < windows.windows.size(); at += per_flow) {
    Part part;
    if (!out.parts_.empty())
      part.offset = out.parts_.back().offset + out.parts_.back().rows * out.row_floats_;
    std::vector<int32_t> ids;
    for (size_t i = at; i < std::min(windows.windows.size(), at + per_flow); ++i) {
      const auto& w = windows.windows[i];
      part.lengths.push_back(static_cast<int64_t>(w.size()));
      ids.insert(ids.end(), w.begin(), w.end());
    }
    std::vector<Slice> slices;
    for (int64_t length : part.lengths) slices.push_back({nullptr, 0, length});
    part.rows = static_cast<int64_t>(ids.size());
    out.parts_.push_back(std::move(part));
    embedding.embed(ids, slices, flow.h);
    out.put(out.count() - 1, flow);
  }
  return out;
}

int64_t WindowFlows::shelf_bytes(const DecoderConfig& c, int64_t windows, int64_t length,
                                 bool restarts) {
  return windows * length * shelf_floats(c, restarts) * 4;
}

int64_t WindowFlows::flow_rows(int64_t length) { return windows_a_flow(length) * length; }

int64_t WindowFlows::flow_bytes(const DecoderConfig& c, int64_t length) {
  int64_t rows = flow_rows(length);
  int64_t scratch = std::max(c.q_dim() + 2 * c.kv_dim(), 2 * c.mlp);
  return rows * (c.hidden + widest(c) + scratch + 2 * c.kv_dim()) * 4;
}

std::span<float> WindowFlows::take(int64_t i, int64_t at, int64_t count) const {
  const Part& p = part(i);
  return shelf_.floats().subspan(static_cast<size_t>(p.offset + at * p.rows),
                                 static_cast<size_t>(count));
}

void WindowFlows::put(int64_t i, const Flow& flow) {
  int64_t rows = part(i).rows;
  parts_[static_cast<size_t>(i)].routes = flow.routes;
  std::copy(flow.h.begin(), flow.h.end(), take(i, 0, rows * hidden_).begin());
  std::copy(flow.x.begin(), flow.x.end(),
            take(i, x_at_, static_cast<int64_t>(flow.x.size())).begin());
  rest(i);
}

Flow WindowFlows::flow(int64_t i) {
  Flow out;
  const Part& p = part(i);
  for (size_t s = 0; s < p.lengths.size(); ++s)
    out.slices.push_back({&caches_[s], 0, p.lengths[s]});
  out.rows = p.rows;
  out.routes = p.routes;
  out.h.assign(h(i).begin(), h(i).end());
  out.x.assign(x(i).begin(), x(i).end());
  return out;
}

void WindowFlows::rest(int64_t i) const { shelf_.rest(take(i, 0, part(i).rows * row_floats_)); }

void WindowFlows::enter(const Block& block) {
  cols_ = 0;
  for (int64_t i = 0; i < count(); ++i) {
    if (restarts_) std::copy(h(i).begin(), h(i).end(), take(i, start_at_, h(i).size()).begin());
    Flow now = flow(i);
    enter_block(*config_, block, now);
    put(i, now);
  }
  cols_ = hidden_;
}

void WindowFlows::restart(const Block& block) {
  for (int64_t i = 0; i < count(); ++i)
    std::copy(start(i).begin(), start(i).end(), take(i, 0, h(i).size()).begin());
  enter(block);
}

void WindowFlows::restart(const std::vector<std::vector<float>>& h, const Block& block) {
  for (int64_t i = 0; i < count(); ++i) {
    const std::vector<float>& from = h[static_cast<size_t>(i)];
    std::copy(from.begin(), from.end(), take(i, 0, part(i).rows * hidden_).begin());
  }
  enter(block);
}

void WindowFlows::advance(Stage stage, const Block& block) {
  std::vector<float> scratch[2];  // goes from flow to flow
  int64_t after = 0;
  for (int64_t i = 0; i < count(); ++i) {
    Flow now = flow(i);
    std::swap(now.scratch, scratch);
    nibble::advance(stage, *config_, block, *positions_, now);
    std::swap(now.scratch, scratch);
    put(i, now);
    after = static_cast<int64_t>(now.x.size()) / now.rows;
  }
  cols_ = after;
}

InputStatistics WindowFlows::statistics(const LinearSpec& spec, InputStatistics::Need need) const {
  InputStatistics out(spec.k, need);
  std::vector<float> gathered;
  for (int64_t i = 0; i < count(); ++i) {
    InputRows rows = input(i, spec, gathered);
    if (rows.count > 0) out.add(rows.x, rows.count);
    rest(i);
  }
  return out;
}

InputRows WindowFlows::input(int64_t i, const LinearSpec& spec,
                             std::vector<float>& gathered) const {
  return input_rows(x(i).data(), part(i).rows, part(i).routes, spec, gathered);
}

void WindowFlows::leave(const Block& block) {
  for (KvCache& cache : caches_) cache.drop(block.index);
}

}  // namespace nibble
