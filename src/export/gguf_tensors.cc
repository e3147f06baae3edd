#include "export/gguf_tensors.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <set>

#include "base/panels.h"
#include "export/ggml_exact.h"
#include "export/integer_layout.h"
#include "export/row_reader.h"
#include "formats/ggml_quantize.h"
#include "model/gguf/names.h"

namespace nibble {
namespace {

const GgmlType& type_named(std::string_view name) { return *find_ggml_type(name); }

const GgmlType& float_type(DType dtype) {
  return type_named(dtype == DType::kF16 ? "F16" : dtype == DType::kBF16 ? "BF16" : "F32");
}

class Planner {
 public:
  Planner(const Weights& model, const GgufArchitecture& a, const GgufMix* mix, bool values)
      : model_(model), c_(model.config()), a_(a), mix_(mix), values_(values) {}

  Result<GgufTensors> run() {
    int64_t width = c_.embedding_width;
    NB_OK(matrix("token_embd.weight", {embedding_module(c_)}, c_.vocab, width, {},
                 {.wanted = mix_ ? &gguf_embedding_type(*mix_, c_, width) : nullptr}));
    if (c_.position_offset >= 0) {
      MatrixSpec m = position_matrix(c_);
      NB_OK(matrix("position_embd.weight", {m.module}, m.n, m.k, {}, floats()));
    }
    if (c_.embedding_norm) NB_OK(norm("token_embd_norm", embedding_norm(c_)));
    for (int64_t layer = 0; layer < c_.layers; ++layer) NB_OK(block(layer));
    if (c_.final_norm) NB_OK(norm("output_norm", final_norm(c_)));
    if (!c_.tied_head)
      NB_OK(matrix("output.weight", {head_module(c_)}, c_.vocab, width, {},
                   {.wanted = mix_ ? &gguf_head_type(*mix_, c_, width) : nullptr}));
    if (c_.head_bias) vector("output.bias", NB_TRY(model_.bias(head_linear(c_))));
    if (!c_.ropes.empty()) rope_factors(c_.ropes[0]);
    for (std::string_view name : names_)
      out_.type_names += (out_.type_names.empty() ? "" : " and ") + std::string(name);
    return std::move(out_);
  }

 private:
  // What a matrix shall be.
  struct Wish {
    const GgmlType* wanted = nullptr;  // null: as it is
    bool linear = false;               // of a block
  };
  static Wish floats() { return {&type_named("F32")}; }

  Status block(int64_t layer) {
    std::string prefix = fmt::format("blk.{}.", layer);
    std::vector<LinearSpec> linears = block_linears(c_, layer);
    for (size_t i = 0; i < linears.size(); ++i) {
      const LinearSpec& spec = linears[i];
      if (spec.expert > 0) continue;  // joins the first of its role
      std::vector<std::string> modules;
      for (const LinearSpec& other : linears)
        if (other.role == spec.role && (other.expert >= 0) == (spec.expert >= 0))
          modules.push_back(other.module);
      std::string name = prefix + gguf_linear_name(spec.role) + (spec.expert >= 0 ? "_exps" : "");
      RowOrder order = gguf_row_order(c_, a_.family().pairs, spec.role);
      const GgmlType* wanted = mix_ ? &mixed_type(layer, spec) : nullptr;
      NB_OK(matrix(name + ".weight", std::move(modules), spec.n, spec.k, order, {wanted, true}));
      if (!spec.bias) continue;
      std::vector<float> bias = NB_TRY(model_.bias(spec)), turned(bias.size());
      for (size_t r = 0; r < bias.size(); ++r)
        turned[static_cast<size_t>(order.source(static_cast<int64_t>(r)))] = bias[r];
      vector(name + ".bias", std::move(turned));
    }
    bool two_norms = c_.model_type == "falcon" && c_.has(NormPlace::kMlpIn);
    for (const NormSpec& spec : block_norms(c_, layer))
      NB_OK(norm(prefix + gguf_norm_name(spec.place, two_norms), spec));
    if (c_.blocks[static_cast<size_t>(layer)].experts > 0) {
      MatrixSpec m = router(c_, layer);
      NB_OK(matrix(prefix + "ffn_gate_inp.weight", {m.module}, m.n, m.k, {}, floats()));
    }
    return {};
  }

  // The mixture's type for a linear. Some mixtures have another for quantizers that know the
  // inputs; a source that was made by one keeps it.
  const GgmlType& mixed_type(int64_t layer, const LinearSpec& spec) const {
    const GgmlType& known = gguf_linear_type(*mix_, c_, layer, spec.role, true);
    std::optional<Scheme> stored = model_.stored_scheme(spec.module);
    if (stored && stored->blocks == &gguf_type_for_row(known, spec.k)) return known;
    return gguf_linear_type(*mix_, c_, layer, spec.role, false);
  }

  void vector(const std::string& name, std::vector<float> values) {
    auto size = static_cast<int64_t>(values.size());
    out_.tensors.push_back(
        {name, &type_named("F32"), {size}, {}, 0, 0, {}, std::move(values), false});
  }

  Status norm(const std::string& name, const NormSpec& spec) {
    Norm values = NB_TRY(model_.norm(spec));
    if (spec.weight) vector(name + ".weight", std::move(values.weight));
    if (spec.weight && spec.parts > 1) out_.tensors.back().shape = {spec.parts, spec.size};
    if (!values.bias.empty()) vector(name + ".bias", std::move(values.bias));
    return {};
  }

  void rope_factors(const RopeSpec& rope) {
    if (auto factors = gguf_rope_factors(rope); !factors.empty())
      vector("rope_freqs.weight", std::move(factors));
    if (rope.kind != RopeSpec::Kind::kLongrope) return;
    vector("rope_factors_long.weight", rope.long_factors);
    vector("rope_factors_short.weight", rope.short_factors);
  }

  Status matrix(const std::string& name, std::vector<std::string> modules, int64_t n, int64_t k,
                const RowOrder& order, const Wish& wish) {
    GgufTensorPlan t{name, nullptr, {n, k}, std::move(modules), n, k, order, {}, false};
    if (t.modules.size() > 1)
      t.shape.insert(t.shape.begin(), static_cast<int64_t>(t.modules.size()));
    t.linear = wish.linear;
    bool exact = true;
    t.type = NB_TRY(wish.wanted ? fitting(*wish.wanted, t, exact) : own_type(t, exact));
    if (t.linear) {
      names_.insert(t.type->name);
      out_.rounded += !exact;
    }
    out_.exact &= exact;
    out_.tensors.push_back(std::move(t));
    return {};
  }

  Result<const GgmlType*> fitting(const GgmlType& wanted, const GgufTensorPlan& t, bool& exact) {
    const GgmlType& type = gguf_type_for_row(wanted, t.k);
    out_.fallbacks += &type != &wanted;
    for (const std::string& module : t.modules) exact &= NB_TRY(keeps(type, module, t));
    return &type;
  }

  // Whether the type holds the module's integers and scales, or its floats.
  Result<bool> keeps(const GgmlType& type, const std::string& module, const GgufTensorPlan& t) {
    std::optional<Scheme> scheme = model_.stored_scheme(module);
    if (!scheme)
      return &type == &float_type(NB_TRY(model_.stored_type(module))) || type.name == "F32";
    // Blocks are floats to all that runs them.
    if (scheme->blocks && type.name == "F32") return true;
    if (values_) return kept_by(type, NB_TRY(model_.quantized(module, t.n, t.k))) == Kept::kAll;
    open_half_scales(model_, module, out_.open);
    return promises_to_keep(type, *scheme, t.k);
  }

  // The smallest type that keeps a quantized module's integers; null where none does.
  Result<const GgmlType*> exact_type(const std::string& module, const Scheme& scheme,
                                     const GgufTensorPlan& t) {
    if (values_) return exact_ggml_type(NB_TRY(model_.quantized(module, t.n, t.k)));
    open_half_scales(model_, module, out_.open);
    return promised_ggml_type(scheme, t.k);
  }

  // The smallest that keeps all of the tensor's matrices.
  Result<const GgmlType*> own_type(const GgufTensorPlan& t, bool& exact) {
    const GgmlType* out = nullptr;
    for (const std::string& module : t.modules) {
      std::optional<Scheme> scheme = model_.stored_scheme(module);
      const GgmlType* own = nullptr;
      if (!scheme)
        own = &float_type(NB_TRY(model_.stored_type(module)));
      else if (own = NB_TRY(exact_type(module, *scheme, t)); !own)
        own = &nearest_type(*scheme, t.k, exact);
      if (!out || own->bytes * out->block > out->bytes * own->block) out = own;
    }
    for (const std::string& module : t.modules)
      if (exact && t.modules.size() > 1) exact &= NB_TRY(keeps(*out, module, t));
    return out;
  }

  // For integers that no type keeps: one with as many bits.
  const GgmlType& nearest_type(const Scheme& s, int64_t k, bool& exact) {
    exact = false;
    std::string_view name = s.bits > 6    ? "Q8_0"
                            : s.bits == 6 ? "Q6_K"
                            : s.bits == 5 ? "Q5_K"
                            : s.bits == 4 ? "Q4_K"
                            : s.bits == 3 ? "Q3_K"
                                          : "Q2_K";
    const GgmlType& fitting = gguf_type_for_row(type_named(name), k);
    out_.fallbacks += fitting.name != name;
    return fitting;
  }

  const Weights& model_;
  const DecoderConfig& c_;
  const GgufArchitecture& a_;
  const GgufMix* mix_;
  bool values_;
  std::set<std::string_view> names_;
  GgufTensors out_;
};

// Rows of one module, in the file's order.
class MatrixRows {
 public:
  MatrixRows(const Weights& model, const GgufTensorPlan& t, const std::string& module)
      : model_(model),
        module_(module),
        type_(*t.type),
        n_(t.n),
        k_(t.k),
        from_(t.order.plain() ? 0 : static_cast<size_t>(t.n)) {
    for (size_t i = 0; i < from_.size(); ++i)
      from_[static_cast<size_t>(t.order.source(static_cast<int64_t>(i)))] = static_cast<int64_t>(i);
  }

  Status fill(int64_t first, int64_t count, std::byte* out) {
    if (!rows_) {
      rows_ = NB_TRY(RowReader::open(model_, module_, n_, k_));
      const QuantizedMatrix* w = rows_->quantized();
      exact_ = w && kept_by(type_, *w) != Kept::kNothing;
    }
    int64_t bytes = k_ / type_.block * type_.bytes;
    std::atomic<bool> held = true;
    each_panel(count, [&](int64_t begin, int64_t rows) {
      for (int64_t i = begin; i < begin + rows; ++i) {
        int64_t row = from_.empty() ? first + i : from_[static_cast<size_t>(first + i)];
        std::byte* at = out + i * bytes;
        if (exact_)
          exact_ggml_row(type_, *rows_->quantized(), row, at);
        else if (!rounded_row(row, at))
          held = false;
      }
    });
    if (!held)
      return fail("{}: {}.weight holds values beyond float16, which {} stores",
                  model_.checkpoint().folder(), module_, type_.name);
    if (first + count == n_) {
      rows_->release();
      rows_.reset();
    }
    return {};
  }

 private:
  // Whether the type has numbers as large as the row's.
  bool rounded_row(int64_t row, std::byte* out) const {
    constexpr float kLargestHalf = 65504;
    bool wide = type_.name == "F32" || type_.name == "BF16";
    float most = wide ? std::numeric_limits<float>::max() : kLargestHalf;
    thread_local std::vector<float> values;
    values.resize(static_cast<size_t>(k_));
    (*rows_)(row, values.data());
    bool held = true;
    for (float v : values) held &= std::abs(v) <= most;
    if (held) ggml_quantize(type_, values.data(), k_, out);
    return held;
  }

  const Weights& model_;
  std::string module_;
  const GgmlType& type_;
  int64_t n_, k_;
  std::vector<int64_t> from_;  // the model's row of each of the file; empty: the same
  std::optional<RowReader> rows_;
  bool exact_ = false;
};

}  // namespace

Result<GgufTensors> plan_gguf_tensors(const Weights& model, const GgufArchitecture& a,
                                      const GgufMix* mix, bool values) {
  return Planner(model, a, mix, values).run();
}

PendingGgufTensor pending_gguf(const Weights& model, const GgufTensorPlan& t) {
  PendingGgufTensor out{t.name, t.type, t.shape, {}};
  if (t.modules.empty()) {
    out.rows = [&t](int64_t first, int64_t count, std::byte* at) -> Status {
      int64_t row = t.shape.back();
      std::memcpy(at, t.values.data() + first * row, static_cast<size_t>(count * row * 4));
      return {};
    };
    return out;
  }
  auto parts = std::make_shared<std::vector<MatrixRows>>();
  for (const std::string& module : t.modules) parts->emplace_back(model, t, module);
  out.rows = [parts, n = t.n, bytes = out.row_bytes()](int64_t first, int64_t count,
                                                       std::byte* at) -> Status {
    while (count > 0) {
      int64_t part = first / n, here = std::min(count, (part + 1) * n - first);
      NB_OK((*parts)[static_cast<size_t>(part)].fill(first % n, here, at));
      first += here;
      count -= here;
      at += here * bytes;
    }
    return {};
  };
  return out;
}

}  // namespace nibble
