// The divergence of a student's next-token distributions from a teacher's, and its gradient.
#pragma once

#include <cstdint>

namespace nibble {

// A model's last step: hidden states after the final norm (rows, hidden), the head (vocab, hidden)
// and its bias (vocab), if any; logits then become softcap tanh(logit / softcap), if that is not 0.
struct HeadInput {
  const float* hidden;
  const float* head;
  const float* bias = nullptr;
  float softcap = 0;
};

// Sum over rows of KL(teacher || student), nats. dhidden (rows, hidden) is set to its gradient
// times `weight`. Logits are made a few rows at a time and never kept.
double kl_backward(const HeadInput& teacher, const HeadInput& student, int64_t rows, int64_t vocab,
                   int64_t hidden, float weight, float* dhidden);

}  // namespace nibble
