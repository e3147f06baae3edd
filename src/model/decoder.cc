#include "model/decoder.h"

#include <algorithm>

#include "base/profile.h"

namespace nibble {

namespace {

// The key tells all that decides what is packed: the weights, and which linears are left out (by
// name, and with static inputs those without a stored range).
Result<PackedStore> open_store(const Weights& weights, Activations mode,
                               const std::string& folder) {
  if (!is_folder(folder)) return fail("{}: no such folder to keep packed weights in", folder);
  std::string what = NB_TRY(weights.digest(folder));
  for (const NamedTensor& t : weights.checkpoint().tensors()) t.view.release();
  for (const std::string& name : weights.input_rules().float_inputs) what += "\n" + name;
  if (mode == Activations::kInt8Static) what += "\n static";
  return PackedStore::open(folder, NB_TRY(digest_of(what, {})));
}

}  // namespace

Result<Decoder> Decoder::load(const std::string& folder, Activations mode, int64_t context,
                              const std::string& packed) {
  return load(NB_TRY(Weights::open(folder)), mode, context, packed);
}

Result<Decoder> Decoder::load(Weights weights, Activations mode, int64_t context,
                              const std::string& packed) {
  Decoder d;
  d.weights_ = std::make_shared<Weights>(std::move(weights));
  const DecoderConfig& c = d.config();
  if (context <= 0) context = std::min<int64_t>(c.context, 4096);
  if (c.position_offset >= 0 && context > c.context)
    return fail("{}: has learned positions for {} tokens, not for {}",
                d.weights_->checkpoint().folder(), c.context, context);
  std::optional<PackedStore> kept;
  if (!packed.empty() && mode != Activations::kFloat)
    kept.emplace(NB_TRY(open_store(*d.weights_, mode, packed)));
  PackedStore* store = kept ? &*kept : nullptr;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    d.blocks_.push_back(NB_TRY(load_block(*d.weights_, layer, mode, store)));
  if (c.final_norm) d.final_norm_ = NB_TRY(d.weights_->norm(nibble::final_norm(c)));
  d.embedding_ = NB_TRY(d.weights_->embedding());
  d.head_ = NB_TRY(d.weights_->head(mode, store));
  if (store) NB_OK(store->finish());
  d.positions_ = std::make_shared<Positions>(c, context);
  return d;
}

KvCache Decoder::make_cache(int64_t capacity, KvType type) const {
  return {config().layers, config().kv_heads, config().head_dim, capacity, type};
}

void Decoder::final_states(std::span<const int32_t> ids, std::span<const Slice> slices, Rows rows,
                           Flow& flow, const Tap& tap) const {
  const DecoderConfig& c = config();
  flow.slices.assign(slices.begin(), slices.end());
  flow.rows = static_cast<int64_t>(ids.size());
  embedding_.embed(ids, slices, flow.h);
  if (tap) tap(0, flow.h);
  for (const Block& block : blocks_) {
    enter_block(c, block, flow);
    for (Stage stage : kStages) advance(stage, c, block, *positions_, flow);
    if (tap && block.index + 1 < c.layers) tap(block.index + 1, flow.h);
  }
  if (rows == Rows::kLast) {
    int64_t row = 0, kept = 0;
    for (const Slice& s : slices) {
      row += s.count;
      std::copy_n(flow.h.begin() + (row - 1) * c.hidden, c.hidden,
                  flow.h.begin() + kept++ * c.hidden);
    }
    flow.rows = kept;
    flow.h.resize(static_cast<size_t>(kept * c.hidden));
  }
  if (final_norm_) norm_rows(c, final_norm_, flow.h.data(), flow.rows, flow.h.data());
  if (tap && c.layers < c.hidden_states()) tap(c.layers, flow.h);
}

void Decoder::forward(std::span<const int32_t> ids, std::span<const Slice> slices, Rows rows,
                      std::vector<float>& logits, const Tap& tap) const {
  Flow flow;
  forward(ids, slices, rows, flow, logits, tap);
}

void Decoder::forward(std::span<const int32_t> ids, std::span<const Slice> slices, Rows rows,
                      Flow& flow, std::vector<float>& logits, const Tap& tap) const {
  const DecoderConfig& c = config();
  final_states(ids, slices, rows, flow, tap);
  logits.resize(static_cast<size_t>(flow.rows * c.vocab));
  OperatorTimer timer("head", head_.read_bytes(), c.vocab * c.hidden * flow.rows);
  head_.run(flow.input.set(flow.h.data(), flow.rows, c.hidden), logits.data());
}

int64_t Decoder::read_bytes(int64_t rows) const {
  int64_t bytes = head_.read_bytes();
  for (const Block& b : blocks_) {
    auto add = [&](const Linear& linear) { bytes += linear.read_bytes(); };
    if (!b.router) {
      b.each(add);
      continue;
    }
    int64_t experts = 0;
    for (const BlockLinears& expert : b.experts)
      for (const auto& linear : expert)
        if (linear) experts += linear->read_bytes();
    b.each(add);
    int64_t chosen = std::min(b.layer.experts, rows * config().experts_per_token);
    bytes += b.router->read_bytes() - experts + experts * chosen / b.layer.experts;
  }
  return bytes;
}

ArithmeticCounts Decoder::arithmetic() const {
  ArithmeticCounts out;
  for (const Block& b : blocks_)
    b.each([&](const Linear& linear) {
      out.integer += linear.arithmetic() == Arithmetic::kInteger;
      out.rounded += linear.arithmetic() == Arithmetic::kRoundedInput;
      ++out.all;
    });
  return out;
}

WindowBatch::WindowBatch(const Decoder& model, std::span<const std::span<const int32_t>> windows) {
  for (std::span<const int32_t> w : windows) {
    ids.insert(ids.end(), w.begin(), w.end());
    caches.push_back(model.make_cache(static_cast<int64_t>(w.size())));
  }
  for (size_t i = 0; i < windows.size(); ++i)
    slices.push_back({&caches[i], 0, static_cast<int64_t>(windows[i].size())});
}

}  // namespace nibble
