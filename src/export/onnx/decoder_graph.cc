#include "export/onnx/decoder_graph.h"

#include <algorithm>

#include "export/onnx/growing_frame.h"
#include "export/onnx/matrices.h"

namespace nibble {
namespace {

using Ints = std::vector<int64_t>;
using Axis = OnnxAttribute;

class Builder {
 public:
  Builder(const Weights& model, DecoderFrame& frame, DecoderMatrices& matrices, OnnxGraph& graph)
      : model_(model), c_(model.config()), g_(graph), frame_(frame), matrices_(matrices) {}

  Status run() {
    OnnxValue h = NB_TRY(embed());
    for (int64_t layer = 0; layer < c_.layers; ++layer) h = NB_TRY(block(layer, h));
    g_.scope("head");
    if (c_.final_norm) h = NB_TRY(norm(final_norm(c_), h));
    if (c_.embedding_width != c_.hidden) h = NB_TRY(matrices_.multiply(project_out(c_), h));
    OnnxValue logits = NB_TRY(matrices_.head(head_linear(c_), h));
    if (c_.logit_scale != 1) logits = scaled(logits, c_.logit_scale);
    if (c_.logit_softcap > 0) logits = onnx_softcap(g_, c_.logit_softcap, logits);
    g_.output("logits", OnnxType::kFloat, frame_.rows_of(c_.vocab), "Identity", {logits});
    return {};
  }

 private:
  OnnxValue add(const OnnxValue& a, const OnnxValue& b) { return g_.node("Add", {a, b}); }
  OnnxValue scaled(const OnnxValue& x, double factor) {
    return factor == 1 ? x : g_.node("Mul", {x, g_.real(factor)});
  }
  OnnxValue reshape(const OnnxValue& x, std::initializer_list<int64_t> dims) {
    return g_.node("Reshape", {x, g_.integers(dims)});
  }
  OnnxValue transpose(const OnnxValue& x, Ints order) {
    return g_.node("Transpose", {x}, {{"perm", std::move(order)}});
  }
  std::vector<OnnxValue> split(const OnnxValue& x, int64_t axis,
                               std::initializer_list<int64_t> sizes) {
    return g_.nodes("Split", {x, g_.integers(sizes)}, {{"axis", axis}}, sizes.size());
  }
  Result<OnnxValue> norm(const NormSpec& spec, const OnnxValue& x) {
    return onnx_norm(g_, c_, spec, NB_TRY(model_.norm(spec)), x);
  }
  // x behind the block's norm of this place, or as it is where there is none.
  Result<OnnxValue> norm_at(int64_t layer, NormPlace place, const OnnxValue& x) {
    for (const NormSpec& spec : block_norms(c_, layer))
      if (spec.place == place) return norm(spec, x);
    return x;
  }

  Result<OnnxValue> embed() {
    g_.scope("positions");
    OnnxValue ids = frame_.ids(), places = frame_.places();
    for (const RopeSpec& rope : c_.ropes) rotations_.push_back(frame_.rotation(rope));
    g_.scope("embedding");
    OnnxValue h = NB_TRY(matrices_.rows({embedding_module(c_), c_.vocab, c_.embedding_width}, ids));
    h = scaled(h, c_.embedding_scale);
    if (c_.embedding_width != c_.hidden) h = NB_TRY(matrices_.multiply(project_in(c_), h));
    if (c_.position_offset >= 0) {
      if (c_.position_offset > 0) places = add(places, g_.integer(c_.position_offset));
      h = add(h, NB_TRY(matrices_.rows(position_matrix(c_), places)));
    }
    return c_.embedding_norm ? norm(embedding_norm(c_), h) : h;
  }

  Result<OnnxValue> block(int64_t layer, OnnxValue h) {
    linears_ = block_linears(c_, layer);
    g_.scope(fmt::format("layers.{}/attention", layer));
    OnnxValue x = NB_TRY(norm_at(layer, NormPlace::kAttentionIn, h));
    if (c_.residual_is_normed) h = x;
    OnnxValue y = NB_TRY(attention(layer, x));
    // Side by side, the MLP reads the block's input too.
    OnnxValue side = c_.has(NormPlace::kMlpIn) ? h : x;
    OnnxValue middle =
        NB_TRY(add_normed(layer, h, y, NormPlace::kAttentionOut, NormPlace::kAttentionAfter));
    g_.scope(fmt::format("layers.{}/mlp", layer));
    x = NB_TRY(norm_at(layer, NormPlace::kMlpIn, c_.parallel ? side : middle));
    if (c_.residual_is_normed) middle = x;
    y = NB_TRY(c_.blocks[static_cast<size_t>(layer)].experts > 0 ? experts(layer, x) : mlp(x));
    return add_normed(layer, middle, y, NormPlace::kMlpOut, NormPlace::kMlpAfter);
  }

  // h + scale y, which `out` norms before and `after` behind the sum.
  Result<OnnxValue> add_normed(int64_t layer, const OnnxValue& h, OnnxValue y, NormPlace out,
                               NormPlace after) {
    y = NB_TRY(norm_at(layer, out, y));
    return norm_at(layer, after, add(h, scaled(y, c_.residual_scale)));
  }

  const LinearSpec& spec(Role role, int64_t expert = -1) const {
    return *std::ranges::find_if(
        linears_, [&](const LinearSpec& s) { return s.role == role && s.expert == expert; });
  }
  Result<OnnxValue> linear(Role role, const OnnxValue& x, int64_t expert = -1) {
    return matrices_.linear(spec(role, expert), x);
  }

  struct Heads {
    OnnxValue q, k, v;
  };
  // (batch, sequence, dims of all heads) each.
  Result<Heads> project(const OnnxValue& x) {
    Heads out;
    if (c_.qkv == QkvOrder::kSeparate) {
      out = {NB_TRY(linear(Role::kQ, x)), NB_TRY(linear(Role::kK, x)), NB_TRY(linear(Role::kV, x))};
      if (c_.clip_qkv > 0) out = {clipped(out.q), clipped(out.k), clipped(out.v)};
      return out;
    }
    OnnxValue all = NB_TRY(linear(Role::kQkv, x));
    if (c_.clip_qkv > 0) all = clipped(all);
    std::vector<OnnxValue> parts;
    if (c_.qkv == QkvOrder::kBlocks) {
      parts = split(all, 2, {c_.q_dim(), c_.kv_dim(), c_.kv_dim()});
    } else {
      int64_t shared = c_.heads / c_.kv_heads;
      all = reshape(all, {0, 0, c_.kv_heads, shared + 2, c_.head_dim});
      parts = split(all, 3, {shared, 1, 1});
    }
    return Heads{parts[0], parts[1], parts[2]};
  }
  OnnxValue clipped(const OnnxValue& x) {
    return g_.node("Clip", {x, g_.real(-c_.clip_qkv), g_.real(c_.clip_qkv)});
  }

  // Queries or keys as (batch, sequence, heads, head_dim), behind their norm and rotated.
  Result<OnnxValue> finish(int64_t layer, NormPlace place, int64_t heads, OnnxValue x) {
    if (c_.qk_norm == QkNorm::kRow) {
      x = NB_TRY(norm_at(layer, place, reshape(x, {0, 0, heads * c_.head_dim})));
      x = reshape(x, {0, 0, heads, c_.head_dim});
    } else {
      x = NB_TRY(norm_at(layer, place, reshape(x, {0, 0, heads, c_.head_dim})));
    }
    int rope = c_.blocks[static_cast<size_t>(layer)].rope;
    if (rope < 0) return x;
    auto i = static_cast<size_t>(rope);
    return onnx_rotate(g_, c_.ropes[i], rotations_[i], c_.head_dim, x);
  }

  // The cache with the step's rows behind it, as (batch, kv_heads, 1, total, head_dim): the heads
  // of queries that share one are the third dimension.
  OnnxValue cached(int64_t layer, const char* what, const OnnxValue& fresh) {
    OnnxValue all = frame_.cached(layer, what, transpose(fresh, {0, 2, 1, 3}));
    return g_.node("Unsqueeze", {all, g_.integers({2})});
  }

  OnnxValue bias_of(int64_t window) {
    auto [at, fresh] = biases_.try_emplace(window);
    if (!fresh) return at->second;
    at->second = frame_.score_bias(window);
    return at->second;
  }

  Result<OnnxValue> attention(int64_t layer, const OnnxValue& x) {
    const LayerConfig& l = c_.blocks[static_cast<size_t>(layer)];
    Heads heads = NB_TRY(project(x));
    OnnxValue q = NB_TRY(finish(layer, NormPlace::kQuery, c_.heads, heads.q));
    OnnxValue k = NB_TRY(finish(layer, NormPlace::kKey, c_.kv_heads, heads.k));
    OnnxValue v = reshape(heads.v, {0, 0, c_.kv_heads, c_.head_dim});
    k = cached(layer, "key", k);
    v = cached(layer, "value", v);
    q = reshape(q, {0, 0, c_.kv_heads, c_.heads / c_.kv_heads, c_.head_dim});
    q = scaled(transpose(q, {0, 2, 3, 1, 4}), l.attention_scale);
    OnnxValue scores = g_.node("MatMul", {q, transpose(k, {0, 1, 2, 4, 3})});
    if (c_.score_softcap > 0) scores = onnx_softcap(g_, c_.score_softcap, scores);
    scores = g_.node("Softmax", {add(scores, bias_of(l.window))}, {{"axis", int64_t{-1}}});
    OnnxValue mixed = transpose(g_.node("MatMul", {scores, v}), {0, 3, 1, 2, 4});
    return linear(Role::kO, reshape(mixed, {0, 0, c_.q_dim()}));
  }

  Result<OnnxValue> mlp(const OnnxValue& x) {
    OnnxValue up;
    if (c_.fused_gate_up) {
      auto parts = split(NB_TRY(linear(Role::kGateUp, x)), 2, {c_.mlp, c_.mlp});
      up = g_.node("Mul", {onnx_activation(g_, c_.activation, parts[0]), parts[1]});
    } else if (c_.gated) {
      OnnxValue gate = NB_TRY(linear(Role::kGate, x));
      up = g_.node("Mul", {onnx_activation(g_, c_.activation, gate), NB_TRY(linear(Role::kUp, x))});
    } else {
      up = onnx_activation(g_, c_.activation, NB_TRY(linear(Role::kUp, x)));
    }
    return linear(Role::kDown, up);
  }

  Result<OnnxValue> expert(int64_t e, const OnnxValue& x) {
    OnnxValue gate = NB_TRY(linear(Role::kGate, x, e));
    OnnxValue up = NB_TRY(linear(Role::kUp, x, e));
    up = g_.node("Mul", {onnx_activation(g_, c_.activation, gate), up});
    return linear(Role::kDown, up, e);
  }

  // Every token passes every expert; those that it is not sent to count 0.
  Result<OnnxValue> all_experts(int64_t layer, const OnnxValue& x) {
    OnnxValue shares = NB_TRY(fixed_routes(layer, x)), sum;
    int64_t count = c_.blocks[static_cast<size_t>(layer)].experts;
    auto parts = g_.nodes("Split", {shares, g_.integers(Ints(static_cast<size_t>(count), 1))},
                          {{"axis", int64_t{-1}}}, static_cast<size_t>(count));
    for (int64_t e = 0; e < count; ++e) {
      OnnxValue y = NB_TRY(expert(e, x));
      y = g_.node("Mul", {y, parts[static_cast<size_t>(e)]});
      sum = e == 0 ? y : add(sum, y);
    }
    return sum;
  }

  // (batch, sequence, experts): each token's share of each expert. Of equal shares at the edge all
  // are kept, where routes() takes the first.
  Result<OnnxValue> fixed_routes(int64_t layer, const OnnxValue& x) {
    const Axis last{"axis", int64_t{-1}};
    OnnxValue shares =
        g_.node("Softmax", {NB_TRY(matrices_.multiply(router(c_, layer), x))}, {last});
    int64_t count = c_.blocks[static_cast<size_t>(layer)].experts, kept = c_.experts_per_token;
    OnnxValue best = g_.nodes("TopK", {shares, g_.integers({kept})}, {last}, 2)[0];
    OnnxValue least = best;
    if (kept > 1) least = g_.nodes("Split", {best, g_.integers({kept - 1, 1})}, {last}, 2)[1];
    if (kept == count) return shares;
    OnnxValue chosen = g_.node("LessOrEqual", {least, shares});
    OnnxValue most = g_.node("Where", {chosen, shares, g_.node("Mul", {shares, g_.real(0)})});
    if (!c_.normalized_experts) return most;
    return g_.node("Div", {most, g_.node("ReduceSum", {best, g_.integers({-1})})});
  }

  // Each expert's tokens are gathered, and what it gives is added where they stood.
  Result<OnnxValue> experts(int64_t layer, const OnnxValue& x) {
    if (frame_.fixed_shapes()) return all_experts(layer, x);
    OnnxValue tokens = reshape(x, {-1, c_.hidden});
    OnnxValue weights = NB_TRY(routes(layer, tokens));
    OnnxValue sum = g_.node("Mul", {tokens, g_.real(0)});
    for (int64_t e = 0; e < c_.blocks[static_cast<size_t>(layer)].experts; ++e) {
      OnnxValue own = g_.node("Gather", {weights, g_.integer(e)}, {{"axis", int64_t{1}}});
      OnnxValue at = transpose(g_.node("NonZero", {own}), {1, 0});
      OnnxValue mine = g_.node("GatherND", {tokens, at});
      OnnxValue share = g_.node("Unsqueeze", {g_.node("GatherND", {own, at}), g_.integers({1})});
      OnnxValue y = g_.node("Mul", {NB_TRY(expert(e, mine)), share});
      sum = g_.node("ScatterND", {sum, at, y}, {{"reduction", std::string("add")}});
    }
    return g_.node("Reshape", {sum, g_.node("Shape", {x})});
  }

  // (tokens, experts): how much each token takes of each expert, 0 of those that it does not pass.
  Result<OnnxValue> routes(int64_t layer, const OnnxValue& tokens) {
    OnnxValue logits = NB_TRY(matrices_.multiply(router(c_, layer), tokens));
    OnnxValue shares = g_.node("Softmax", {logits}, {{"axis", int64_t{-1}}});
    auto top =
        g_.nodes("TopK", {shares, g_.integers({c_.experts_per_token})}, {{"axis", int64_t{-1}}}, 2);
    OnnxValue most = top[0];
    if (c_.normalized_experts)
      most = g_.node("Div", {most, g_.node("ReduceSum", {most, g_.integers({-1})})});
    OnnxValue none = g_.node("Mul", {shares, g_.real(0)});
    return g_.node("ScatterElements", {none, top[1], most}, {{"axis", int64_t{1}}});
  }

  const Weights& model_;
  const DecoderConfig& c_;
  OnnxGraph& g_;
  DecoderFrame& frame_;
  DecoderMatrices& matrices_;
  std::vector<OnnxRotation> rotations_;
  std::map<int64_t, OnnxValue> biases_;  // by window
  std::vector<LinearSpec> linears_;      // of the block that is built
};

}  // namespace

bool onnx_takes_positions(const DecoderConfig& c) {
  return !c.ropes.empty() || c.position_offset >= 0;
}

Status build_decoder(const Weights& model, DecoderFrame& frame, DecoderMatrices& matrices,
                     OnnxGraph& graph) {
  return Builder(model, frame, matrices, graph).run();
}

Result<OnnxGraph> onnx_decoder(const Weights& model, OnnxFlavour flavour) {
  OnnxGraph out;
  GrowingFrame frame(model.config(), out);
  OnnxMatrices matrices(model, flavour, out);
  NB_OK(build_decoder(model, frame, matrices, out));
  return out;
}

}  // namespace nibble
