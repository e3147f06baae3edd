#include "model/roles.h"

namespace nibble {
namespace {

std::string block_prefix(const DecoderConfig& c, int64_t layer) {
  return fmt::format("{}{}.{}.", c.names.base, c.names.layers, layer);
}

class Lister {
 public:
  Lister(const DecoderConfig& c, int64_t layer) : c_(c), prefix_(block_prefix(c, layer)) {}
  void add(Role role, Stage stage, int64_t n, int64_t k, bool bias) {
    out.push_back({role, stage, prefix_ + c_.names.linears[static_cast<size_t>(role)], n, k, bias});
  }
  void add_expert(Role role, Stage stage, int64_t expert, const std::string& name, int64_t n,
                  int64_t k) {
    out.push_back({role, stage, fmt::format("{}{}.{}.{}", prefix_, c_.names.experts, expert, name),
                   n, k, false, expert});
  }
  std::vector<LinearSpec> out;

 private:
  const DecoderConfig& c_;
  std::string prefix_;
};

}  // namespace

std::vector<LinearSpec> block_linears(const DecoderConfig& c, int64_t layer) {
  Lister list(c, layer);
  if (c.qkv == QkvOrder::kSeparate) {
    list.add(Role::kQ, Stage::kQkv, c.q_dim(), c.hidden, c.qkv_bias);
    list.add(Role::kK, Stage::kQkv, c.kv_dim(), c.hidden, c.qkv_bias);
    list.add(Role::kV, Stage::kQkv, c.kv_dim(), c.hidden, c.qkv_bias);
  } else {
    list.add(Role::kQkv, Stage::kQkv, c.qkv_dim(), c.hidden, c.qkv_bias);
  }
  list.add(Role::kO, Stage::kOut, c.hidden, c.q_dim(), c.out_bias);
  int64_t experts = c.blocks[static_cast<size_t>(layer)].experts, mlp = c.mlp_of(layer);
  for (int64_t e = 0; e < experts; ++e) {
    list.add_expert(Role::kGate, Stage::kGateUp, e, c.names.expert_gate, mlp, c.hidden);
    list.add_expert(Role::kUp, Stage::kGateUp, e, c.names.expert_up, mlp, c.hidden);
  }
  for (int64_t e = 0; e < experts; ++e)
    list.add_expert(Role::kDown, Stage::kDown, e, c.names.expert_down, c.hidden, mlp);
  if (experts > 0) return std::move(list.out);
  if (c.fused_gate_up) {
    list.add(Role::kGateUp, Stage::kGateUp, 2 * mlp, c.hidden, c.mlp_bias);
  } else {
    if (c.gated) list.add(Role::kGate, Stage::kGateUp, mlp, c.hidden, c.mlp_bias);
    list.add(Role::kUp, Stage::kGateUp, mlp, c.hidden, c.mlp_bias);
  }
  list.add(Role::kDown, Stage::kDown, c.hidden, mlp, c.mlp_bias);
  return std::move(list.out);
}

std::vector<std::vector<LinearSpec>> input_groups(const std::vector<LinearSpec>& linears,
                                                  Stage stage) {
  std::vector<std::vector<LinearSpec>> out;
  for (const LinearSpec& spec : linears) {
    if (spec.stage != stage) continue;
    if (out.empty() || out.back().front().expert != spec.expert) out.emplace_back();
    out.back().push_back(spec);
  }
  return out;
}

std::vector<VectorSpec> NormSpec::vectors(const char* kind, bool there) const {
  std::vector<VectorSpec> out;
  if (there && parts == 1) return {{module + kind, size}};
  for (int64_t i = 0; there && i < parts; ++i)
    out.push_back({fmt::format("{}.norms.{}{}", module, i, kind), size});
  return out;
}

std::vector<NormSpec> block_norms(const DecoderConfig& c, int64_t layer) {
  std::vector<NormSpec> out;
  for (size_t i = 0; i < kNormPlaces; ++i) {
    auto place = static_cast<NormPlace>(i);
    bool of_heads = place == NormPlace::kQuery || place == NormPlace::kKey;
    if (of_heads ? c.qk_norm == QkNorm::kNone : !c.has(place)) continue;
    NormSpec norm{place,      block_prefix(c, layer) + c.names.norms[i], c.hidden, 1, c.norm_weight,
                  c.norm_bias};
    if (of_heads) {
      int64_t heads = place == NormPlace::kQuery ? c.heads : c.kv_heads;
      norm.size = c.qk_norm == QkNorm::kRow ? heads * c.head_dim : c.head_dim;
      norm.parts = c.qk_norm == QkNorm::kEachHead ? heads : 1;
      // One head's norm stands in a list all the same.
      if (c.qk_norm == QkNorm::kEachHead && heads == 1) norm.module += ".norms.0";
      norm.bias = c.qk_norm_bias;
    }
    out.push_back(std::move(norm));
  }
  return out;
}

NormSpec final_norm(const DecoderConfig& c) {
  return {NormPlace::kMlpAfter, c.names.base + c.names.final_norm, c.hidden, 1, c.norm_weight,
          c.norm_bias};
}
NormSpec embedding_norm(const DecoderConfig& c) {
  return {NormPlace::kAttentionIn,
          c.names.base + c.names.embedding_norm,
          c.hidden,
          1,
          c.norm_weight,
          c.norm_bias};
}

MatrixSpec router(const DecoderConfig& c, int64_t layer) {
  return {block_prefix(c, layer) + c.names.router, c.blocks[static_cast<size_t>(layer)].experts,
          c.hidden};
}
MatrixSpec position_matrix(const DecoderConfig& c) {
  return {c.names.base + c.names.positions, c.context + c.position_offset, c.hidden};
}
MatrixSpec project_in(const DecoderConfig& c) {
  return {c.names.base + c.names.project_in, c.hidden, c.embedding_width};
}
MatrixSpec project_out(const DecoderConfig& c) {
  return {c.names.base + c.names.project_out, c.embedding_width, c.hidden};
}

std::vector<MatrixSpec> other_matrices(const DecoderConfig& c) {
  std::vector<MatrixSpec> out;
  if (c.position_offset >= 0) out.push_back(position_matrix(c));
  if (c.embedding_width != c.hidden) {
    out.push_back(project_in(c));
    out.push_back(project_out(c));
  }
  for (int64_t layer = 0; layer < c.layers; ++layer)
    if (c.blocks[static_cast<size_t>(layer)].experts > 0) out.push_back(router(c, layer));
  return out;
}

std::vector<MatrixSpec> all_matrices(const DecoderConfig& c) {
  std::vector<MatrixSpec> out = other_matrices(c);
  out.push_back({embedding_module(c), c.vocab, c.embedding_width});
  if (!c.tied_head) out.push_back({head_module(c), c.vocab, c.embedding_width});
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer))
      out.push_back({spec.module, spec.n, spec.k});
  return out;
}

std::vector<VectorSpec> norm_vectors(const DecoderConfig& c) {
  std::vector<NormSpec> norms;
  if (c.embedding_norm) norms.push_back(embedding_norm(c));
  if (c.final_norm) norms.push_back(final_norm(c));
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (NormSpec& norm : block_norms(c, layer)) norms.push_back(std::move(norm));
  std::vector<VectorSpec> out;
  for (const NormSpec& norm : norms)
    for (const auto& list : {norm.weights(), norm.biases()})
      out.insert(out.end(), list.begin(), list.end());
  return out;
}

std::string embedding_module(const DecoderConfig& c) { return c.names.base + c.names.embedding; }
std::string head_module(const DecoderConfig& c) { return c.names.head; }
std::string head_source(const DecoderConfig& c) {
  return c.tied_head ? embedding_module(c) : head_module(c);
}
LinearSpec head_linear(const DecoderConfig& c) {
  return {Role::kO, Stage::kOut, head_source(c), c.vocab, c.embedding_width, c.head_bias};
}

}  // namespace nibble
