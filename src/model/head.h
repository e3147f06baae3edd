// From the last hidden states to logits.
#pragma once

#include <memory>

#include "model/config.h"
#include "model/linear.h"

namespace nibble {

class Head {
 public:
  Head() = default;
  // `project_out` (width, hidden) or null; `linear` (vocab, width).
  Head(const DecoderConfig& config, std::unique_ptr<Linear> project_out,
       std::unique_ptr<Linear> linear)
      : scale_(static_cast<float>(config.logit_scale)),
        softcap_(static_cast<float>(config.logit_softcap)),
        project_out_(std::move(project_out)),
        linear_(std::move(linear)) {}

  // h: (rows, hidden), behind the final norm; logits: (rows, vocab).
  void run(LinearInput& h, float* logits) const;
  int64_t read_bytes() const;

 private:
  void finish(LinearInput& in, float* logits) const;

  float scale_ = 1, softcap_ = 0;
  std::unique_ptr<Linear> project_out_, linear_;
};

}  // namespace nibble
