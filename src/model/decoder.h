// The one forward pass: token ids in, logits out, for run, eval, bench and calibration.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/block.h"

namespace nibble {

class Decoder {
 public:
  // Loads a model folder. `mode` says how quantized linears run; `context` bounds positions (0: the
  // model's own, at most 4096). `packed`: a folder to keep packed weights in (PackedStore), or "".
  static Result<Decoder> load(const std::string& folder, Activations mode, int64_t context = 0,
                              const std::string& packed = "");

  static Result<Decoder> load(Weights weights, Activations mode, int64_t context = 0,
                              const std::string& packed = "");

  const DecoderConfig& config() const { return weights_->config(); }
  const Weights& weights() const { return *weights_; }
  int64_t context() const { return positions_->capacity(); }
  const std::shared_ptr<const Positions>& positions() const { return positions_; }
  const Norm& final_norm() const { return final_norm_; }
  // kF32 is exact; the narrower ones trade a little of that for memory and speed.
  KvCache make_cache(int64_t capacity, KvType type = KvType::kF32) const;

  enum class Rows : uint8_t { kAll, kLast };  // kLast: of each slice
  // Called with the hidden states (rows, hidden) after the embedding (layer 0) and after each block
  // (the last one after the final norm), as transformers' output_hidden_states: hidden_states() of
  // the config.
  using Tap = std::function<void(int64_t layer, std::span<const float> hidden)>;

  // ids: those of the slices one after another, within the vocabulary. logits: (rows, vocab).
  // Positions must lie below context() and within the caches. The caller has checked both.
  void forward(std::span<const int32_t> ids, std::span<const Slice> slices, Rows rows,
               std::vector<float>& logits, const Tap& tap = {}) const;

  // The same, on the way that is `flow`: one that is kept from pass to pass makes a decode step of
  // a dense model allocate nothing.
  void forward(std::span<const int32_t> ids, std::span<const Slice> slices, Rows rows, Flow& flow,
               std::vector<float>& logits, const Tap& tap = {}) const;

  // Up to the final norm. flow.h: (flow.rows, hidden), what the head reads.
  void final_states(std::span<const int32_t> ids, std::span<const Slice> slices, Rows rows,
                    Flow& flow, const Tap& tap = {}) const;

  const Head& head() const { return head_; }
  // Weight bytes that a pass over `rows` tokens reads, the head included, the KV cache not; of
  // mixtures of experts at most, as if no two tokens chose the same expert.
  int64_t read_bytes(int64_t rows) const;
  // Of the blocks' linears.
  ArithmeticCounts arithmetic() const;

 private:
  std::shared_ptr<Weights> weights_;
  std::vector<Block> blocks_;
  Norm final_norm_;
  Embedding embedding_;
  Head head_;
  std::shared_ptr<const Positions> positions_;
};

// Whole windows of ids as sequences of one batch, each in a cache of its own.
struct WindowBatch {
  std::vector<int32_t> ids;  // of all windows, one after another
  std::vector<KvCache> caches;
  std::vector<Slice> slices;
  WindowBatch(const Decoder& model, std::span<const std::span<const int32_t>> windows);
};

}  // namespace nibble
