#include "quant/transforms/fold.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nibble {
namespace {

Fold plain_fold(Stage stage, std::vector<Role> readers, int64_t channels) {
  Fold fold{stage, std::move(readers), channels,
            std::vector<int64_t>(static_cast<size_t>(channels))};
  std::iota(fold.channel_of.begin(), fold.channel_of.end(), 0);
  return fold;
}

Fold value_fold(const DecoderConfig& c) {
  Fold fold{Stage::kOut, {Role::kO}, c.kv_dim(), {}};
  for (int64_t head = 0; head < c.heads; ++head)
    for (int64_t d = 0; d < c.head_dim; ++d)
      fold.channel_of.push_back(head / (c.heads / c.kv_heads) * c.head_dim + d);
  return fold;
}

// norm / s in the norm's type; s becomes norm / that. Where this would leave the type's range or
// the norm is 0, s is 1.
void divide_norm(std::vector<float>& norm, DType type, std::vector<float>& s) {
  for (size_t j = 0; j < norm.size(); ++j) {
    float wanted = norm[j] / s[j], stored = 0;
    std::byte bytes[4];
    from_float(type, &wanted, 1, bytes);
    to_float(type, bytes, 1, &stored);
    float became = norm[j] / stored;
    if (!std::isfinite(became) || !std::isfinite(stored) || became <= 0 || norm[j] == 0) {
      s[j] = 1;
      continue;
    }
    s[j] = became;
    norm[j] = stored;
  }
}

void divide_rows(FloatMatrix& m, std::vector<float>& bias, const std::vector<float>& s) {
  for (int64_t r = 0; r < m.n; ++r) {
    float by = s[static_cast<size_t>(r)];
    for (int64_t j = 0; j < m.k; ++j) m.w[static_cast<size_t>(r * m.k + j)] /= by;
    if (!bias.empty()) bias[static_cast<size_t>(r)] /= by;
  }
}

}  // namespace

std::vector<Fold> norm_folds(const DecoderConfig& c) {
  return {plain_fold(Stage::kQkv, {Role::kQ, Role::kK, Role::kV}, c.hidden),
          plain_fold(Stage::kGateUp, {Role::kGate, Role::kUp}, c.hidden)};
}

std::vector<Fold> all_folds(const DecoderConfig& c) {
  std::vector<Fold> norms = norm_folds(c);
  return {norms[0], value_fold(c), norms[1], plain_fold(Stage::kDown, {Role::kDown}, c.mlp)};
}

void apply_fold(FloatBlock& block, const Fold& fold, std::vector<float> s) {
  switch (fold.stage) {
    case Stage::kQkv:
      divide_norm(block.attention_norm, block.norm_type, s);
      break;
    case Stage::kGateUp:
      divide_norm(block.mlp_norm, block.norm_type, s);
      break;
    case Stage::kOut:
      divide_rows(block.matrix(Role::kV), block.bias(Role::kV), s);
      break;
    case Stage::kDown:
      divide_rows(block.matrix(Role::kUp), block.bias(Role::kUp), s);
      break;
  }
  std::vector<float> columns;
  for (int64_t channel : fold.channel_of) columns.push_back(s[static_cast<size_t>(channel)]);
  for (Role role : fold.readers) {
    FloatMatrix& m = block.matrix(role);
    for (int64_t r = 0; r < m.n; ++r)
      for (size_t j = 0; j < columns.size(); ++j)
        m.w[static_cast<size_t>(r * m.k) + j] *= columns[j];
  }
  block.input(fold.stage).divide_inputs(columns);
}

std::vector<float> column_absmax(FloatBlock& block, const Fold& fold) {
  std::vector<float> most(static_cast<size_t>(fold.channels));
  for (Role role : fold.readers) {
    const FloatMatrix& m = block.matrix(role);
    for (int64_t r = 0; r < m.n; ++r)
      for (int64_t j = 0; j < m.k; ++j) {
        float& top = most[static_cast<size_t>(fold.channel_of[static_cast<size_t>(j)])];
        top = std::max(top, std::fabs(m.w[static_cast<size_t>(r * m.k + j)]));
      }
  }
  return most;
}

}  // namespace nibble
