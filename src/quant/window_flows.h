// Calibration windows on their way through a model's blocks.
#pragma once

#include "model/block.h"
#include "quant/calibration.h"

namespace nibble {

class WindowFlows {
 public:
  WindowFlows() = default;
  WindowFlows(const DecoderConfig& config, const Embedding& embedding,
              const CalibrationSet& windows);

  bool empty() const { return flows_.empty(); }
  // Between stages: what enters the next one's linears.
  const std::vector<Flow>& flows() const { return flows_; }
  const Rope& rope() const { return *rope_; }
  // To the first stage's input. May be called anew before the first advance.
  void enter(const Block& block);
  // Puts the residual streams (of each flow) back to what they were, and enters.
  void restart(const std::vector<std::vector<float>>& h, const Block& block);
  void advance(Stage stage, const Block& block);
  // Forgets the block's keys and values.
  void leave(const Block& block);

 private:
  const DecoderConfig* config_ = nullptr;
  std::vector<Flow> flows_;
  std::vector<KvCache> caches_;  // shared by the flows, which pass one after another
  std::shared_ptr<Rope> rope_;
};

}  // namespace nibble
