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
  QkvLayout at(c);
  bool separate = c.qkv == QkvOrder::kSeparate;
  fold.maker = separate ? Role::kV : Role::kQkv;
  for (int64_t head = 0; head < c.heads; ++head)
    for (int64_t d = 0; d < c.head_dim; ++d)
      fold.channel_of.push_back(head / at.shared * c.head_dim + d);
  for (int64_t head = 0; head < c.kv_heads; ++head)
    for (int64_t d = 0; d < c.head_dim; ++d)
      fold.rows.push_back((separate ? 0 : at.v) + head * at.v_step + d);
  return fold;
}

Fold up_fold(const DecoderConfig& c) {
  Fold fold = plain_fold(Stage::kDown, {Role::kDown}, c.mlp);
  fold.maker = c.fused_gate_up ? Role::kGateUp : Role::kUp;
  for (int64_t i = 0; i < c.mlp; ++i) fold.rows.push_back((c.fused_gate_up ? c.mlp : 0) + i);
  return fold;
}

// What a block runs less what is stored.
float offset(const DecoderConfig& c) { return c.norm == NormKind::kRmsPlusOne ? 1 : 0; }

// norm / s in the norm's type; s becomes norm / that. Where this would leave the type's range or
// the norm is 0, s is 1.
void divide_norm(Norm& norm, float offset, DType type, std::vector<float>& s) {
  for (size_t j = 0; j < norm.weight.size(); ++j) {
    float& weight = norm.weight[j];
    float wanted = weight / s[j] - offset, stored = 0;
    std::byte bytes[4];
    from_float(type, &wanted, 1, bytes);
    to_float(type, bytes, 1, &stored);
    stored += offset;
    float became = weight / stored;
    if (!std::isfinite(became) || !std::isfinite(stored) || became <= 0 || weight == 0) {
      s[j] = 1;
      continue;
    }
    s[j] = became;
    weight = stored;
    if (!norm.bias.empty()) norm.bias[j] /= became;
  }
}

void divide_rows(FloatMatrix& m, std::vector<float>& bias, const std::vector<int64_t>& rows,
                 const std::vector<float>& s) {
  for (size_t i = 0; i < rows.size(); ++i) {
    int64_t r = rows[i];
    for (int64_t j = 0; j < m.k; ++j) m.w[static_cast<size_t>(r * m.k + j)] /= s[i];
    if (!bias.empty()) bias[static_cast<size_t>(r)] /= s[i];
  }
}

}  // namespace

std::vector<Fold> norm_folds(const DecoderConfig& c, const FloatBlock& block) {
  std::vector<Fold> out;
  auto add = [&](NormPlace place, Stage stage) {
    if (!c.has(place) || !c.norm_weight || c.residual_is_normed) return;
    out.push_back(plain_fold(stage, block.roles(stage), c.hidden));
    out.back().norm = place;
  };
  if (!c.parallel || c.has(NormPlace::kMlpIn)) add(NormPlace::kAttentionIn, Stage::kQkv);
  if (!block.has_experts()) add(NormPlace::kMlpIn, Stage::kGateUp);
  return out;
}

std::vector<Fold> all_folds(const DecoderConfig& c, const FloatBlock& block) {
  std::vector<Fold> folds = norm_folds(c, block), out;
  if (c.clip_qkv == 0) folds.push_back(value_fold(c));
  if (c.gated && !block.has_experts()) folds.push_back(up_fold(c));
  for (Stage stage : kStages)
    for (const Fold& fold : folds)
      if (fold.stage == stage) out.push_back(fold);
  return out;
}

void apply_fold(const DecoderConfig& c, FloatBlock& block, const Fold& fold, std::vector<float> s) {
  if (fold.rows.empty())
    divide_norm(block.norms[static_cast<size_t>(fold.norm)], offset(c), block.norm_type, s);
  else
    divide_rows(block.matrix(fold.maker), block.bias(fold.maker), fold.rows, s);
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
