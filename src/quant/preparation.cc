#include "quant/preparation.h"

#include <algorithm>

namespace nibble {

using Need = InputStatistics::Need;

bool Preparation::changes_model() const {
  return std::any_of(transforms.begin(), transforms.end(), [](auto* t) { return t->model; });
}

bool Preparation::changes_blocks() const {
  return std::any_of(transforms.begin(), transforms.end(), [](auto* t) { return t->block; });
}

bool Preparation::changes_biases() const {
  return std::any_of(transforms.begin(), transforms.end(), [](auto* t) { return t->bias; });
}

Need Preparation::need() const {
  Need need = stage_need();
  for (const Transform* t : transforms) need = std::max(need, t->need);
  return need;
}

Need Preparation::stage_need() const {
  return ranges || changes_biases() ? Need::kDiagonal : Need::kNothing;
}

}  // namespace nibble
