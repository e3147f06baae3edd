#include "quant/mixed.h"

#include <algorithm>

namespace nibble {
namespace {

// What the artifact holds and a token reads beside the allocated parts, in bytes.
struct Fixed {
  int64_t stored = 0, read = 0;
};

// Bytes of what is neither a linear of a block, nor the embedding, nor a head.
Result<int64_t> rest_bytes(const Weights& weights) {
  const DecoderConfig& c = weights.config();
  constexpr int64_t kShape = 16;  // weight_shape, of every module below 8 bits
  int64_t out = 2 * kShape;
  for (const NamedTensor& t : weights.checkpoint().tensors())
    out += static_cast<int64_t>(t.view.bytes.size());
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer))
      out += kShape - NB_TRY(weights.stored_bytes(s.module, s.n, s.k));
  out -= NB_TRY(weights.stored_bytes(embedding_module(c), c.vocab, c.embedding_width));
  if (!c.tied_head) out -= NB_TRY(weights.stored_bytes(head_module(c), c.vocab, c.embedding_width));
  return out;
}

// The same in a GGUF file, where vectors, positions and routers are float32; with the linears that
// the plan leaves as they are.
Result<int64_t> gguf_rest_bytes(const Weights& weights, const Plan& plan) {
  const DecoderConfig& c = weights.config();
  int64_t numbers = c.head_bias ? c.vocab : 0;
  for (const VectorSpec& v : norm_vectors(c)) numbers += v.size;
  for (const MatrixSpec& m : other_matrices(c)) numbers += m.n * m.k;
  int64_t linears = 0;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) {
      numbers += s.bias ? s.n : 0;
      if (!plan.of(s.module).scheme)
        linears += s.n * s.k * dtype_size(NB_TRY(weights.stored_type(s.module)));
    }
  return 4 * numbers + linears;
}

// `plan`: the recipe with the allocated parts at any scheme.
Result<Fixed> fixed_bytes(const Weights& weights, const Plan& plan, const MixedOptions& o) {
  const DecoderConfig& c = weights.config();
  auto bytes_of = [&](const std::string& module, const std::string& stored) -> Result<int64_t> {
    if (const auto& scheme = plan.of(module).scheme)
      return QuantizedMatrix::stored_bytes(*scheme, c.vocab, c.embedding_width);
    return weights.stored_bytes(stored, c.vocab, c.embedding_width);
  };
  std::string embedding_name = embedding_module(c), head = head_module(c);
  Fixed out;
  out.stored = o.gguf ? NB_TRY(gguf_rest_bytes(weights, plan)) : NB_TRY(rest_bytes(weights));
  int64_t embedding = o.embedding ? 0 : NB_TRY(bytes_of(embedding_name, embedding_name));
  out.stored += embedding;
  if (c.tied_head && !plan.unties_head()) {
    out.read = embedding;
  } else if (!o.head) {
    out.read = NB_TRY(bytes_of(head, head_source(c)));
    out.stored += out.read;
  }
  return out;
}

// Items in one line a scheme and kind: "layers 0,2 qkv: w6g64-asym gptq".
std::vector<RecipeEntry> rules_of(const std::vector<MeasuredItem>& items,
                                  const std::vector<size_t>& choice, const Method& method) {
  std::vector<RecipeEntry> out;
  std::map<std::pair<std::string, std::string>, std::string> layers;  // by names and scheme
  for (size_t i = 0; i < items.size(); ++i) {
    std::string scheme = items[i].options[choice[i]].scheme.name();
    if (items[i].layers.empty()) {
      out.push_back({items[i].names, scheme, ""});
      continue;
    }
    std::string& list = layers[{items[i].names, scheme}];
    list += fmt::format("{}{}", list.empty() ? "" : ",", items[i].layers[0]);
  }
  for (const auto& [key, list] : layers)
    out.push_back(
        {fmt::format("layers {} {}", list, key.first), key.second + " " + method.name, ""});
  return out;
}

class Budget {
 public:
  Budget(const std::vector<MeasuredItem>& items, Fixed fixed, const MixedOptions& options)
      : fixed_(fixed), options_(options) {
    for (const MeasuredItem& item : items) weights_ += item.weights;
  }
  // What an option takes of the budget.
  int64_t take(const MeasuredItem& item, const MeasuredOption& option) const {
    return options_.milliseconds && !item.read_by_token ? 0 : option.bytes;
  }
  // What there is for the items; negative where the rest takes more than all.
  int64_t limit() const {
    if (options_.bits)
      return static_cast<int64_t>(*options_.bits * static_cast<double>(weights_) / 8);
    if (options_.bytes) return static_cast<int64_t>(*options_.bytes) - fixed_.stored;
    return static_cast<int64_t>(*options_.milliseconds / 1e3 * options_.bandwidth) - fixed_.read;
  }
  MixedPoint point(int64_t stored, int64_t read, double kl) const {
    MixedPoint p;
    p.bits = 8. * static_cast<double>(stored) / static_cast<double>(weights_);
    p.bytes = fixed_.stored + stored;
    if (options_.bandwidth > 0)
      p.milliseconds = 1e3 * static_cast<double>(fixed_.read + read) / options_.bandwidth;
    p.kl = kl;
    return p;
  }
  MixedPoint point(const std::vector<MeasuredItem>& items,
                   const std::vector<size_t>& choice) const {
    int64_t stored = 0, read = 0;
    double kl = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      const MeasuredOption& option = items[i].options[choice[i]];
      stored += option.bytes;
      if (items[i].read_by_token) read += option.bytes;
      kl += option.kl;
    }
    return point(stored, read, kl);
  }
  std::string text(const MixedPoint& p) const {
    if (options_.bits) return fmt::format("{:.3f} bits per weight", p.bits);
    if (options_.bytes) return fmt::format("{} bytes", p.bytes);
    return fmt::format("{:.3g} ms a token", p.milliseconds);
  }

 private:
  Fixed fixed_;
  const MixedOptions& options_;
  int64_t weights_ = 0;
};

Result<MixedResult> choose(const std::vector<MeasuredItem>& items, const Budget& budget,
                           const Method& method) {
  std::vector<AllocationItem> choices;
  for (const MeasuredItem& item : items) {
    AllocationItem& options = choices.emplace_back();
    for (const MeasuredOption& o : item.options) options.push_back({budget.take(item, o), o.kl});
  }
  ParetoFront front(choices);
  MixedResult out;
  for (size_t i = 0; i < front.size(); ++i)
    out.front.push_back(budget.point(items, front.at(i).choice));
  out.chosen = front.best_within(budget.limit());
  if (out.chosen == front.size())
    return fail("the target cannot be met: the smallest of these schemes takes {}",
                budget.text(out.front[0]));
  out.rules = rules_of(items, front.at(out.chosen).choice, method);
  for (size_t o = 0; o < items[0].options.size(); ++o)
    out.uniform.push_back({items[0].options[o].scheme.name(),
                           budget.point(items, std::vector<size_t>(items.size(), o))});
  return out;
}

std::vector<Scheme> candidates(const MixedOptions& o, DType scale_type) {
  std::vector<Scheme> out;
  constexpr std::string_view kBlocks[] = {"Q2_K", "Q3_K", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0"};
  if (o.gguf) {
    for (std::string_view name : kBlocks) out.push_back(Scheme::of_blocks(*find_ggml_type(name)));
    return out;
  }
  for (int bits : {2, 3, 4, 5, 6, 8})
    for (int64_t group : o.groups) out.push_back({bits, o.symmetry, group, scale_type});
  return out;
}

// Rules for what is not allocated and no entry names: the embedding and an own head as the plan's
// mixture has them, and linears whose rows are whole blocks of no type.
std::vector<RecipeEntry> remaining_rules(const Plan& plan, const DecoderConfig& c,
                                         const MixedOptions& o) {
  std::vector<RecipeEntry> out;
  auto add = [&](const char* key, const std::string& module) {
    bool named = std::ranges::any_of(o.entries, [&](const RecipeEntry& e) { return e.key == key; });
    if (const ModuleChoice& choice = plan.of(module); choice.scheme && !named)
      out.push_back({key, choice.scheme_name(), ""});
  };
  if (!o.embedding) add("embedding", embedding_module(c));
  if (!o.head && !c.tied_head) add("head", head_module(c));
  bool floats = false;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) floats |= !plan.of(s.module).scheme;
  if (floats) out.push_back({"rest", "float", ""});
  return out;
}

}  // namespace

Result<MixedResult> allocate_bits(const QuantizeOptions& job, const MixedOptions& o) {
  Weights weights = NB_TRY(Weights::open(job.model, job.lora));
  NB_OK(check_source(job, weights));
  if (o.head && weights.config().tied_head)
    return usage("the head is tied to the embedding: give --embedding auto for both");
  SensitivityOptions measure;
  // Allocated parts get a rule at the end, so that the rest of the recipe can be resolved.
  std::vector<RecipeEntry> entries = o.entries;
  entries.push_back({"rest", o.gguf ? "q4_k_m" : "w4", ""});
  Recipe recipe = NB_TRY(Recipe::build(entries));
  Plan plan = NB_TRY(recipe.resolve(weights.config()));
  NB_OK(check_gguf(job, recipe, weights, plan));
  measure.method = NB_TRY(find_method(recipe.settings().default_method));
  measure.methods = recipe.settings().methods;
  measure.embedding = o.embedding;
  measure.head = o.head;
  measure.schemes = candidates(o, recipe.settings().scale_type);
  CalibrationOptions calibration = recipe.settings().calibration;
  calibration.text = job.calibration;
  CalibrationSet windows = NB_TRY(calibration_windows(job.model, weights, calibration));
  auto items = NB_TRY(measure_sensitivity(weights, measure, split_windows(windows)));
  if (items.empty())
    return fail("{}: no rows of it are whole blocks of any type of GGUF", job.model);
  Budget budget(items, NB_TRY(fixed_bytes(weights, plan, o)), o);
  MixedResult out = NB_TRY(choose(items, budget, *measure.method));
  if (o.gguf)
    for (RecipeEntry& rule : remaining_rules(plan, weights.config(), o))
      out.rules.push_back(std::move(rule));
  return out;
}

}  // namespace nibble
